"""Composers: from codes to vectors."""

from kdgraph.composers.base import Composer
from kdgraph.composers.concat import ConcatComposer
from kdgraph.composers.linear import LinearComposer
from kdgraph.composers.linear_form import LinearForm
from kdgraph.composers.mlp import MLPComposer
from kdgraph.composers.recurrent import RecurrentComposer
from kdgraph.composers.ring import RingComposer
from kdgraph.composers.sum import SumComposer

COMPOSERS = (SumComposer, ConcatComposer, MLPComposer, RecurrentComposer, RingComposer)
"""Every composer that can be named."""

__all__ = [
    "COMPOSERS",
    "Composer",
    "ConcatComposer",
    "LinearComposer",
    "LinearForm",
    "MLPComposer",
    "RecurrentComposer",
    "RingComposer",
    "SumComposer",
]
