"""The step function and its parts: the next step of a change, from what is stored and live."""
