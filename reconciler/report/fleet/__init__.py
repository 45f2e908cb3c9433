"""The fleet as one HTML page that needs no server, no network and no script."""
