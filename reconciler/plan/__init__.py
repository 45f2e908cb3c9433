"""What is to be done, and the next step of each change. Pure: no I/O, clock, environment or randomness."""
