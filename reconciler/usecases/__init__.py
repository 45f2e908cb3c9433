"""The use cases: one module each. They see ports only; the command line decides what is behind them."""
