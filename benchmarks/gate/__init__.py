"""Whether one version is worse than another: two commits measured in turn, or two files of results compared."""
