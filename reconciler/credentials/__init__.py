"""Credentials in texts and URLs: detection and redaction."""
