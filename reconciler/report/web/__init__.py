"""What our pages are made of. Each page is one file that needs no server, no network and no script."""
