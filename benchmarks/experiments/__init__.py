"""The measurements for each budget."""
