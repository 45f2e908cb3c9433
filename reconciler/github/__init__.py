"""GitHub's API, as far as our workflows need it: one comment, one issue, and the plan that was reviewed."""
