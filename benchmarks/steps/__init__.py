"""What a step of training and a look-up in evaluation take, against a table."""
