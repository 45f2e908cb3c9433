"""What is measured, budget by budget."""
