"""Which of an implementation's choices is the fastest, where: comparisons, their measurement, and their tables."""
