"""The asv benchmarks. asv imports every module here and takes what is named time_… or track_… for a benchmark."""
