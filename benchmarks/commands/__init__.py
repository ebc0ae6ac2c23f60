"""The subcommands of `python -m benchmarks`, one a module."""
