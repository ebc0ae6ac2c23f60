"""One run on a GPU: parity, counted work, the sweep up to m = 65536, the limits of the device, in a few minutes."""
