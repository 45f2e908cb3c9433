"""Render results. A large report is a package with one file per format; a small one is one file."""
