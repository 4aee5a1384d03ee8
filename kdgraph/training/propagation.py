"""Label propagation as a method: its alpha chosen on validation."""

import time

from torch import Tensor

from kdgraph.baselines import LabelPropagation
from kdgraph.data import Graph
from kdgraph.training.metrics import score
from kdgraph.training.peak_memory import peak_rss_bytes
from kdgraph.training.seed_result import SeedResult

ALPHAS = (0.5, 0.9, 0.99)
"""What validation chooses from."""


def propagate_labels(graph: Graph) -> SeedResult:
    """The scores of label propagation; it draws nothing, so there is one seed."""
    begun = time.perf_counter()
    valid, test = [], []
    for alpha in ALPHAS:
        logits = _spread(graph, alpha)
        valid.append(score(logits[graph.valid_idx], graph.y[graph.valid_idx]))
        test.append(score(logits[graph.test_idx], graph.y[graph.test_idx]))
    best = valid.index(max(valid))
    return SeedResult(
        seed=0,
        test_score=test[best],
        valid_score=valid[best],
        best_epoch=0,
        epochs=1,
        seconds=time.perf_counter() - begun,
        inference_bytes=0,
        training_bytes=0,
        peak_rss_bytes=peak_rss_bytes(),
        losses=[],
        valid_scores=valid,
    )


def _spread(graph: Graph, alpha: float) -> Tensor:
    scores = LabelPropagation(alpha)(
        graph.adj, graph.y, graph.train_idx, graph.num_classes
    )
    # The threshold of a probability, as a logit.
    return scores - 0.5 if graph.multi_label else scores
