"""Codes: integers per node, packed, and ways to make them without gradients."""

from kdgraph.codes.random import compact_codes, expand_sizes, random_codes
from kdgraph.codes.table import CodeTable, check_codebook_sizes

__all__ = [
    "CodeTable",
    "check_codebook_sizes",
    "compact_codes",
    "expand_sizes",
    "random_codes",
]
