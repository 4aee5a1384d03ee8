"""Commands killed at random moments, repeated, and compared with undisturbed ones."""
