"""Tests of all four rooms."""
