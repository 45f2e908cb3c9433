"""Values to text: each renderer escapes for its own format."""
