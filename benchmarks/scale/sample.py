"""How many edges per second are sampled."""

import importlib.util
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.clock import Clock
from benchmarks.message_passing import graphs
from benchmarks.message_passing.setting import SIZES
from benchmarks.message_passing.setting import Setting as DrawnSetting
from benchmarks.scale.graph import open_graph
from benchmarks.scale.naive import NaiveSampler
from benchmarks.scale.setting import Setting
from kdgraph.ops import Sampled, sample_neighbors

FANOUTS = ((15, 10), (15, 10, 5))
SAMPLERS = ("kdgraph", "torch")
RIVALS = ("torch_sparse", "pyg_lib")
"""What PyG draws with; where one is installed it is told, but not measured."""

_SECONDS = 1.0
_WARM_UP = 3

Draw = Callable[[Tensor, tuple[int, ...]], Sampled]


def sample(setting: Setting, folder: Path, clock: Clock) -> dict[str, Any]:
    """Draw around batches of nodes on two graphs, each sampler in turn.

    Between a warm-up of three batches and the end of a second, a sampler draws one
    batch after the other; then the next sampler does, in so many rounds. The graphs
    are the prepared one, and one of the size of ogbn-arxiv drawn at random.
    """
    rows, done = [], 0
    graph = open_graph(folder / "graph")
    drawn = graphs.draw_graph(DrawnSetting("forward", "170k", *SIZES["170k"]))
    given = {
        "prepared": (graph.rowptr, graph.col),
        "arxiv-sized": (torch.from_numpy(drawn.rowptr), torch.from_numpy(drawn.col)),
    }
    del graph, drawn
    threads = sorted({1, setting.threads})
    total = len(given) * len(FANOUTS) * len(threads)
    for name, (rowptr, col) in given.items():
        draws = _samplers(rowptr, col)
        for fanouts in FANOUTS:
            for count in threads:
                torch.set_num_threads(count)
                about = {"graph": name, "num_neighbors": fanouts, "threads": count}
                rows += _alternate(draws, rowptr.numel() - 1, fanouts, setting, about)
                done += 1
                clock(done / total, "sampling")
    absent = [one for one in RIVALS if importlib.util.find_spec(one) is None]
    return {"rows": rows, "absent": absent}


def _samplers(rowptr: Tensor, col: Tensor) -> dict[str, Draw]:
    seed = 0

    def own(seeds: Tensor, fanouts: tuple[int, ...]) -> Sampled:
        nonlocal seed
        seed += 1
        return sample_neighbors(rowptr, col, seeds, fanouts, seed=seed)

    return {"kdgraph": own, "torch": NaiveSampler(rowptr, col)}


def _alternate(
    draws: dict[str, Draw],
    num_nodes: int,
    fanouts: tuple[int, ...],
    setting: Setting,
    about: dict[str, Any],
) -> list[dict[str, Any]]:
    rates: dict[str, list[float]] = {name: [] for name in draws}
    sizes: dict[str, float] = {}
    for number in range(setting.rounds):
        for name, draw in draws.items():
            generator = torch.Generator().manual_seed(setting.seed + number)
            order = torch.randperm(num_nodes, generator=generator)
            batches = torch.split(order, setting.batch_size)
            rate, sizes[name] = _rate(draw, batches, fanouts)
            rates[name].append(rate)
    return [
        about
        | {
            "sampler": name,
            "edges_per_second": max(found),
            "median_edges_per_second": statistics.median(found),
            "edges_per_batch": sizes[name],
        }
        for name, found in rates.items()
    ]


def _rate(
    draw: Draw, batches: tuple[Tensor, ...], fanouts: tuple[int, ...]
) -> tuple[float, float]:
    """Edges per second, and per batch."""
    edges = count = 0
    begun = 0.0
    for number in range(1 << 30):
        if number == _WARM_UP:
            edges = count = 0
            begun = time.perf_counter()
        edges += sum(draw(batches[number % len(batches)], fanouts).num_edges)
        count += 1
        taken = time.perf_counter() - begun
        if number > _WARM_UP and taken > _SECONDS:
            break
    return edges / taken, edges / count
