"""LinkSplit: which links are trained on, and which are to be found."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from scipy import sparse
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import RandomLinkSplit

from benchmarks.link_prediction.non_edges import NonEdges
from kdgraph.data import Graph, build_adjacency, to_edge_index

VALID_SHARE, TEST_SHARE = 0.05, 0.10
SPLIT_SEED = 0
"""Of the split and of the negatives: all methods and seeds have the same."""
CORRUPTED = 100
"""Tails that a true one is ranked among."""


@dataclass(frozen=True)
class Queries:
    """Links to be found, and what they are to be told from.

    Args:
        pairs: The links, each once.
        negatives: As many pairs that are not linked in the whole graph.
        corrupted: For each end of a link as head, first those of row 0 of ``pairs`` and
            then those of row 1, nodes that it is not linked with in the whole graph.

    Shapes:
        - **pairs, negatives:** ``[2, P]``
        - **corrupted:** ``[2P, 100]``
    """

    pairs: Tensor
    negatives: Tensor
    corrupted: Tensor

    @property
    def heads(self) -> Tensor:
        """``[2P]``, both ends of each link."""
        return torch.cat([self.pairs[0], self.pairs[1]])

    @property
    def tails(self) -> Tensor:
        """``[2P]``, the other end of each."""
        return torch.cat([self.pairs[1], self.pairs[0]])


@dataclass(frozen=True)
class LinkSplit:
    """Links of a graph, in three parts.

    Args:
        graph: All nodes, and of the links only those that are trained on, both ways.
            Nodes with such a link count as its training nodes.
        pairs: The same links, each once, ``[2, P]``.
        valid: For selection.
        test: To report on.
    """

    graph: Graph
    pairs: Tensor
    valid: Queries
    test: Queries

    def permuted(self, rows: Tensor) -> LinkSplit:
        """The same with nodes in another order.

        Args:
            rows: ``[N]``, the node that row i of the result is.
        """
        rank = torch.empty_like(rows)
        rank[rows] = torch.arange(rows.numel())
        valid, test = (
            Queries(rank[one.pairs], rank[one.negatives], rank[one.corrupted])
            for one in (self.valid, self.test)
        )
        graph = self.graph.permuted(rows.numpy())
        return LinkSplit(graph, rank[self.pairs], valid, test)


def split_links(graph: Graph, seed: int = SPLIT_SEED) -> LinkSplit:
    """Take away links for validation and test: PyG's ``RandomLinkSplit``.

    Links have no direction, and loops are left out. The negatives of validation and
    test are linked in no part.

    Args:
        graph: Labels and split of its nodes are not read.
        seed: Of split and negatives.

    Raises:
        ValueError: A graph that was kept directed, or with too few links for three
            parts.
    """
    if graph.directed:
        raise ValueError(
            f"links are split without direction, got {graph.name} with directed edges; "
            "load it symmetrised"
        )
    whole = sparse.csr_array(graph.adj - sparse.diags_array(graph.adj.diagonal()))
    whole.eliminate_zeros()
    data = Data(edge_index=to_edge_index(whole)[0], num_nodes=graph.num_nodes)
    taken = RandomLinkSplit(
        num_val=VALID_SHARE,
        num_test=TEST_SHARE,
        is_undirected=True,
        add_negative_train_samples=False,
        neg_sampling_ratio=0.0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        train, valid, test = (one.edge_label_index for one in taken(data))
    if min(valid.size(1), test.size(1)) == 0:
        raise ValueError(
            f"{graph.name} has {whole.nnz // 2} links, too few to validate and test on "
            f"{VALID_SHARE:.0%} and {TEST_SHARE:.0%} of them"
        )
    generator = torch.Generator().manual_seed(seed)
    unlinked = NonEdges(whole)
    queries = [
        Queries(
            pairs,
            unlinked.pairs(pairs.size(1), generator),
            unlinked.tails(pairs.reshape(-1), CORRUPTED, generator),
        )
        for pairs in (valid, test)
    ]
    adj = build_adjacency(train.numpy(), graph.num_nodes)
    none = torch.empty(0, dtype=torch.int64)
    left = dataclasses.replace(
        graph,
        adj=adj,
        y=torch.zeros(graph.num_nodes, dtype=torch.int64),
        train_idx=torch.unique(train),
        valid_idx=none,
        test_idx=none,
        num_classes=1,
    )
    return LinkSplit(left, train, *queries)
