"""What a release consists of, beside the wheel and the source archive."""
