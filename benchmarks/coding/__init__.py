"""Time and peak memory of coding a large generated graph, in a fresh process."""
