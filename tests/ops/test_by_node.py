"""Sums of gradients by node against a loop."""

import torch

from kdgraph.ops.by_node import sum_by_node


def test_sums_are_the_loop():
    n_id, gradient = torch.tensor([5, 2, 5, 0, 5]), torch.randn(5, 3)
    nodes, sums = sum_by_node(n_id, gradient)
    assert sorted(nodes.tolist()) == [0, 2, 5]
    for node, total in zip(nodes.tolist(), sums, strict=True):
        rows = [gradient[at] for at in range(5) if int(n_id[at]) == node]
        torch.testing.assert_close(total, sum(rows))


def test_distinct_nodes_are_left_as_they_are():
    for n_id in (torch.tensor([3, 1, 2]), torch.empty(0, dtype=torch.long)):
        gradient = torch.randn(len(n_id), 2)
        nodes, sums = sum_by_node(n_id, gradient)
        assert nodes is n_id
        assert sums is gradient
