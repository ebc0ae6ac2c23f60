"""Implementations measured beside the one under test, each behind the contract."""
