"""What a property is, what it is run against, and what is told of a run."""
