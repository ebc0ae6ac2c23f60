"""What the suites measure in the planted history: seconds instead of minutes. ROUNDS is appended."""

VERSION = "planted"
DEVICES = ("cpu",)
DENSE = "dense"
IMPLEMENTATIONS = {"planted": "impl:factory"}
NAMES = (DENSE, *IMPLEMENTATIONS)
PHASES = ("initialization", "forward", "backward", "gram", "solve", "update", "iteration")
WIDTHS = {"cpu": (64, 90, 128, 181, 256, 362)}
TRACKED_WIDTHS = (128, 256)
SAMPLES = 8
DEPTH = 2
ITERATIONS = 3
LEARNING_RATE = 0.3
BUDGET = 10.0
