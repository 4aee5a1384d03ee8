"""Coders: from node ids to codes."""

from kdgraph.coders.base import Coder
from kdgraph.coders.fixed import FixedCoder
from kdgraph.coders.gumbel import GumbelCoder
from kdgraph.coders.logit import LogitCoder, default_query_dim
from kdgraph.coders.refined import RefinedCoder
from kdgraph.coders.softmax import SoftmaxCoder
from kdgraph.coders.threshold import ThresholdCoder
from kdgraph.coders.vq import VQCoder

CODERS = (SoftmaxCoder, GumbelCoder, VQCoder, ThresholdCoder, FixedCoder, RefinedCoder)
"""Every coder that can be named."""

__all__ = [
    "CODERS",
    "Coder",
    "FixedCoder",
    "GumbelCoder",
    "LogitCoder",
    "RefinedCoder",
    "SoftmaxCoder",
    "ThresholdCoder",
    "VQCoder",
    "default_query_dim",
]
