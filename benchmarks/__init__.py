"""Benchmarks: configurations in, one JSON per run out, tables generated from it."""
