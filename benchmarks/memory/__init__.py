"""Bytes and peak memory of storing, training and using node vectors, by method."""
