"""What runs on the device: Triton's functions, one idea a file. A *program* is what CUDA calls a block of threads.

All of them keep to four rules. What is added to one number is added by one program in one order, never atomically, so
that results repeat to the last bit. Positions in a table are counted in 64 bits. Products are written out, never
`tl.dot`, so that no setting of the process can round float32 operands to TF32. Sizes that change from step to step are
not specialized for: Triton would compile a kernel anew whenever one of them becomes a multiple of 16.
"""
