"""What codes mean: how they are used, and what they say about classes."""
