"""The outcome of an apply in each output format."""
