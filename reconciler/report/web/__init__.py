"""What our pages are made of: templates, style, script and links. Each page is one file that needs nothing else."""
