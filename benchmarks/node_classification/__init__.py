"""Accuracy against bytes on node classification without features."""
