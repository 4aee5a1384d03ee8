"""Links that were taken away, found again from vectors and the links that are left."""
