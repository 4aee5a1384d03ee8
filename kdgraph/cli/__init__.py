"""The command line: ``kdgraph train | export | inspect | plan``."""

from kdgraph.cli.main import main

__all__ = ["main"]
