"""The results as a table, a plot and a page."""
