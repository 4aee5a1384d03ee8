"""One harness for all benchmarks that train: configs in, a JSON per run out."""
