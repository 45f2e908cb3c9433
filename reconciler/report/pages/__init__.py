"""HTML pages. Each is one file that needs no server and no network, and can be read without its script."""
