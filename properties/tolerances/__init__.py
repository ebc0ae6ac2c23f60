"""How far two correct implementations may be apart, derived: nothing here is chosen."""
