"""Artifacts: frozen codes, a composer and a model's weights in one safetensors file."""

from kdgraph.artifact.reader import Artifact, read_artifact
from kdgraph.artifact.writer import write_artifact

__all__ = [
    "Artifact",
    "read_artifact",
    "write_artifact",
]
