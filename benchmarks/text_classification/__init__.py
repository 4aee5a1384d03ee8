"""Sentences classified, with an encoder in the place of the word embeddings."""
