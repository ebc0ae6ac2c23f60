"""Tests of the measuring suite, and the fake implementations that they measure."""
