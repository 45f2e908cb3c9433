"""HTML pages. Each is one file that needs no server, no network and no script."""
