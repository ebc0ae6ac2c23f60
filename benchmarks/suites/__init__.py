"""The asv benchmarks: `asv` imports every module here and takes what is named time_… or track_… for a benchmark.

Modules of this folder import each other relatively: asv knows the folder as a package of its own, `suites`, and takes
`benchmarks` from the tree under test, which need not be the one that holds this folder.
"""
