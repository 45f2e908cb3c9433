"""Escaping and style for each output format."""
