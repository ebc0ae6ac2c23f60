"""Test cases: what one is, and the strategies that make them."""
