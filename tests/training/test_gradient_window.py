"""Gradients summed over steps, range by range, against sums over all nodes."""

from __future__ import annotations

import pytest
import torch

from kdgraph.training.gradient_window import MEMORY, GradientWindow

WIDTH = 3


def steps_of(num_nodes: int, steps: int, seed: int) -> list[tuple[torch.Tensor, ...]]:
    """Nodes and gradients of the steps of an epoch; a node may stand twice."""
    generator = torch.Generator().manual_seed(seed)
    return [
        (
            torch.randint(num_nodes, (20,), generator=generator),
            torch.randn(20, WIDTH, generator=generator),
        )
        for _ in range(steps)
    ]


def turns_of(window: GradientWindow, num_nodes: int, round_: int) -> list[range]:
    """Run an epoch, check each turn against a dense sum, and tell the ranges."""
    epoch = steps_of(num_nodes, window.steps, seed=round_)
    turns: list[range] = []
    dense = torch.zeros(num_nodes, WIDTH)
    for step, (n_id, gradient) in enumerate(epoch):
        if window.begins(step):
            window.begin(round_, step)
            dense.zero_()
        window.add(n_id, gradient)
        for node, row in zip(n_id.tolist(), gradient, strict=True):
            dense[node] += row
        if window.ends(step):
            nodes = window.nodes
            torch.testing.assert_close(window.sums[: nodes.numel()], dense[nodes])
            turns.append(range(window.start, window.stop))
    return turns


@pytest.mark.parametrize("num_nodes", [1, 2, 7, 40, 41])
@pytest.mark.parametrize("rows", [1, 3, 8, 100])
@pytest.mark.parametrize("steps", [1, 2, 5, 13])
def test_every_node_has_its_turn(num_nodes: int, rows: int, steps: int) -> None:
    window = GradientWindow(num_nodes, WIDTH, steps, memory=4 * WIDTH * rows)
    assert window.sums.numel() * 4 <= 4 * WIDTH * rows
    rounds = -(-window.ranges // window.turns)
    turns: list[range] = []
    for round_ in range(rounds):
        found = turns_of(window, num_nodes, round_)
        assert len(found) == min(window.ranges, steps)
        turns += found
    # The first of each range are all nodes in their order.
    first = turns[: window.ranges]
    assert [node for turn in first for node in turn] == list(range(num_nodes))
    assert turns[window.ranges :] == turns[: len(turns) - window.ranges]


def test_turns_of_an_epoch_are_about_as_long() -> None:
    window = GradientWindow(40, WIDTH, steps=17, memory=4 * WIDTH * 10)
    begun = [step for step in range(17) if window.begins(step)]
    ended = [step for step in range(17) if window.ends(step)]
    assert begun == [0, *(step + 1 for step in ended[:-1])]
    assert ended[-1] == 16
    lengths = [end - begin + 1 for begin, end in zip(begun, ended, strict=True)]
    assert lengths == pytest.approx([17 / 4] * 4, abs=1)


def test_a_round_that_was_cut_goes_on_where_the_next_begins() -> None:
    """Two steps for five ranges: 0 and 1, then 2 and 3, then 4 and 0."""
    window = GradientWindow(40, WIDTH, steps=2, memory=4 * WIDTH * 8)
    assert window.ranges == 5
    starts = [[turn.start for turn in turns_of(window, 40, r)] for r in range(3)]
    assert starts == [[0, 8], [16, 24], [32, 0]]


def test_a_node_is_kept_where_not_even_that_fits() -> None:
    window = GradientWindow(5, 100, steps=9, memory=1)
    assert (window.ranges, window.sums.shape) == (5, (1, 100))


def test_memory_is_bounded_by_default() -> None:
    window = GradientWindow(10_000_000, 128, steps=1000)
    assert window.sums.numel() * 4 <= MEMORY
    assert window.ranges * window.sums.size(0) >= 10_000_000


def test_gradients_in_half_precision_are_summed_in_full() -> None:
    window = GradientWindow(4, 1, steps=1)
    window.begin(0, 0)
    for _ in range(300):
        window.add(torch.tensor([2]), torch.ones(1, 1, dtype=torch.bfloat16))
    assert window.sums.flatten().tolist() == [0, 0, 300, 0]
