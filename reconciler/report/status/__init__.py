"""Status, history, test deliveries and checks in each output format."""
