"""Oracles that share no code: the reference, torch's automatic differentiation, extended precision."""

from properties.oracles.arbitration import arbitrate

__all__ = ["arbitrate"]
