"""What processes tell each other, by threads that stand for them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import nn

from kdgraph.training import ranks as module
from kdgraph.training.ranks import Ranks


class Threads:
    """The part of ``torch.distributed`` that is used, among threads of one process."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.own = threading.local()
        self.barrier = threading.Barrier(size, timeout=30)
        self.given: list[Any] = [None] * size

    def is_available(self) -> bool:
        return True

    def is_initialized(self) -> bool:
        return True

    def get_rank(self) -> int:
        rank: int = self.own.rank
        return rank

    def get_world_size(self) -> int:
        return self.size

    def all_reduce(self, values: torch.Tensor) -> None:
        self.given[self.get_rank()] = values.clone()
        self.barrier.wait()
        values.copy_(torch.stack(self.given).sum(0))
        self.barrier.wait()

    def broadcast(self, values: torch.Tensor, source: int) -> None:
        if self.get_rank() == source:
            self.given[source] = values
        self.barrier.wait()
        assert values.shape == self.given[source].shape
        values.copy_(self.given[source])
        self.barrier.wait()

    def broadcast_object_list(self, box: list[Any], source: int) -> None:
        if self.get_rank() == source:
            self.given[source] = box[0]
        self.barrier.wait()
        box[0] = self.given[source]
        self.barrier.wait()

    def run(self, work: Callable[[Ranks], Any]) -> list[Any]:
        """What each of them gives."""

        def one(rank: int) -> Any:
            self.own.rank = rank
            return work(Ranks())

        with ThreadPoolExecutor(self.size) as pool:
            return list(pool.map(one, range(self.size)))


@pytest.fixture(params=[2, 3])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Threads:
    """Two or three processes."""
    made = Threads(request.param)
    monkeypatch.setattr(module, "distributed", made)
    return made


def test_parts_follow_each_other_and_differ_by_one_at_most() -> None:
    for size in (1, 2, 3, 7):
        for count in (0, 1, 2, 6, 7, 100):
            parts = []
            for rank in range(size):
                ranks = Ranks()
                ranks.rank, ranks.size = rank, size
                parts.append(range(count)[ranks.part(count)])
                assert ranks.first == (rank == 0)
            assert [one for part in parts for one in part] == list(range(count))
            lengths = {len(part) for part in parts}
            assert max(lengths) - min(lengths) <= 1


def test_alone_nothing_is_told() -> None:
    ranks, model = Ranks(), nn.Linear(2, 2)
    values = torch.tensor([3.0])
    assert ranks.total(values) is values
    assert ranks.fill(values) is values
    assert ranks.parallel(model) is model
    assert ranks.mean(2.5) == 2.5
    assert (ranks.any(here=True), ranks.any(here=False)) == (True, False)
    assert ranks.told("codes") == ranks.once(lambda: "codes") == "codes"
    ranks.averaged(model)
    assert ranks.sent == 0


def test_sums_means_and_whether_any(threads: Threads) -> None:
    size = threads.size

    def work(ranks: Ranks) -> Any:
        total = ranks.total(torch.tensor([1.0, ranks.rank]))
        assert ranks.sent == 8
        mean = ranks.mean(float(ranks.rank))
        anyone = [ranks.any(here=ranks.rank == which) for which in (size - 1, size)]
        return total.tolist(), mean, anyone

    wanted = [size, size * (size - 1) / 2], (size - 1) / 2, [True, False]
    assert threads.run(work) == [wanted] * size


@pytest.mark.parametrize("count", [0, 1, 7])
def test_rows_are_completed(threads: Threads, count: int) -> None:
    whole = torch.arange(3 * count).view(count, 3)

    def work(ranks: Ranks) -> Any:
        own = ranks.part(count)
        rows = torch.zeros_like(whole)
        rows[own] = whole[own]
        filled = ranks.fill(rows)
        assert filled is rows
        return filled, ranks.sent

    found = threads.run(work)
    assert all(torch.equal(filled, whole) for filled, _ in found)
    assert sum(sent for _, sent in found) == 8 * whole.numel()


def test_the_first_works_out_what_all_get(threads: Threads) -> None:
    made: list[int] = []

    def work(ranks: Ranks) -> Any:
        def make() -> dict[str, int]:
            made.append(ranks.rank)
            return {"made by": ranks.rank}

        return ranks.once(make), ranks.told(f"of {ranks.rank}")

    before = torch.get_num_threads()
    assert threads.run(work) == [({"made by": 0}, "of 0")] * threads.size
    assert made == [0]
    assert torch.get_num_threads() == before


def test_threads_are_given_back_where_that_fails(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    seen: list[int] = []

    def fail() -> None:
        seen.append(torch.get_num_threads())
        raise ValueError("no such codes")

    threads.own.rank = 0
    before = torch.get_num_threads()
    with pytest.raises(ValueError, match="no such codes"):
        Ranks().once(fail)
    assert seen == [3]
    assert torch.get_num_threads() == before


def test_gradients_of_rows_are_averaged_as_if_they_were_dense(threads: Threads) -> None:
    """Of some rows, of rows that stand twice, of none, and without a gradient."""
    size, width = threads.size, 4
    chosen = [
        torch.tensor([5, 2, 5, 9]),
        torch.tensor([2, 0]),
        torch.tensor([], dtype=int),
    ]
    dense = torch.zeros(10, width)
    values = [torch.randn(part.numel(), width) for part in chosen]
    for part, rows in zip(chosen[:size], values, strict=False):
        dense.index_add_(0, part, rows)

    def work(ranks: Ranks) -> Any:
        model = nn.ParameterDict(
            {
                "rows": nn.Parameter(torch.zeros(10, width)),
                "idle": nn.Parameter(torch.zeros(6, 1)),
                "bias": nn.Parameter(torch.zeros(3)),
            }
        )
        part, rows = chosen[ranks.rank], values[ranks.rank]
        model["rows"].grad = torch.sparse_coo_tensor(part[None], rows, (10, width))
        model["bias"].grad = torch.ones(3)
        ranks.averaged(model, [model["rows"], model["idle"]])
        return model, ranks.sent

    for rank, (model, sent) in enumerate(threads.run(work)):
        found = model["rows"].grad
        assert found.is_sparse
        torch.testing.assert_close(found.to_dense(), dense / size)
        assert not model["idle"].grad.to_dense().any()
        assert torch.equal(model["bias"].grad, torch.ones(3))
        # Each row once, and its number; how many there are, twice for each table.
        count = chosen[rank].unique().numel()
        assert sent == count * (8 + 4 * width) + 4 * 8 * size + 3 * 4


def test_gradients_of_rows_are_the_same_everywhere_to_the_last_bit(
    threads: Threads,
) -> None:
    def work(ranks: Ranks) -> Any:
        generator = torch.Generator().manual_seed(ranks.rank)
        model = nn.ParameterDict({"rows": nn.Parameter(torch.zeros(4, 3))})
        rows = torch.randint(4, (1, 9), generator=generator)
        values = torch.randn(9, 3, generator=generator)
        model["rows"].grad = torch.sparse_coo_tensor(rows, values, (4, 3))
        ranks.averaged(model, [model["rows"]])
        return model["rows"].grad.coalesce().to_dense()

    first, *others = threads.run(work)
    assert all(torch.equal(first, other) for other in others)
