"""What is done with an event: forward it, run a command, call a function, or print it.

A handler accepts an event by returning, and does not by raising; then it gets the event again.
"""
