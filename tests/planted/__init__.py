"""Planted bugs: small realistic defects over the correct implementation, which the suite must find."""
