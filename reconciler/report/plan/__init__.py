"""A plan in each output format."""
