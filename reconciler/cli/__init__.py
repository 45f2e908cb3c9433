"""The command line: the only place that builds real objects and knows exit codes."""
