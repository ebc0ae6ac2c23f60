"""How many small faults in impl/'s numeric modules the properties and tests notice: `python -m tests.mutation`."""
