"""The oracle: NumPy, float64, dense, short enough to be checked by eye; and, in `contract`, the plain data
that every room may know. The method is told in README.md beside this file.
"""

from reference.contract import *  # noqa: F403  the plain data, under the short name
from reference.contract import __all__ as _plain_data
from reference.implementation import Reference, factory
from reference.initialization import random_network

__all__ = [*_plain_data, "Reference", "factory", "random_network"]  # noqa: PLE0604  names, all of them strings
