"""Diagnostics in each output format."""
