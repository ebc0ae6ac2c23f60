"""Three implementations that are not ours, each in one file, plugged into the suite (properties/README.md)."""
