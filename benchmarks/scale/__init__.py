"""A graph of millions of nodes, step by step: seconds, bytes and peak memory."""
