"""What processes that train together give each other, and how fast they are."""

import dataclasses
import json
import statistics
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from torch import distributed
from torch.multiprocessing.spawn import ProcessRaisedException, start_processes

from benchmarks.clock import Clock
from benchmarks.scale.setting import Setting
from benchmarks.scale.train import train
from kdgraph.training.peak_memory import peak_rss_bytes


class Layout(NamedTuple):
    """Who trains.

    Args:
        kind: As of :func:`benchmarks.scale.train.build`.
        processes: How many.
        threads: Of each.
    """

    kind: str
    processes: int
    threads: int


LAYOUTS = {
    "codes-1x1": Layout("codes", 1, 1),
    "codes-1x2": Layout("codes", 1, 2),
    "codes-2x1": Layout("codes", 2, 1),
    "sharded-2x1": Layout("sharded", 2, 1),
}
"""By task: what is trained, processes and threads of each."""

START = "spawn"
"""How processes start: with nothing in memory, so that their peak is their own."""

_LOSS = 8
"""Bytes of the loss, a float64, and of a count, an int64."""


def exchange(
    setting: Setting, folder: Path, clock: Clock, layout: Layout
) -> dict[str, Any]:
    """Train in processes that divide the nodes of each batch.

    Args:
        setting: Sizes; its batches are those of all processes together.
        folder: Where graph and codes lie.
        clock: Progress, of one process.
        layout: Which processes.

    Returns:
        What the first process says, with bytes that a process gives in a batch as
        counted and by formula, and nodes of all processes together.
    """
    setting = dataclasses.replace(setting, threads=layout.threads)
    if layout.processes == 1:
        parts = [train(setting, folder, clock, layout.kind)]
        parts[0]["peak_rss_bytes"] = peak_rss_bytes()
    else:
        parts = in_processes(layout.processes, train, setting, folder, layout.kind)
    found = parts[0]
    seconds = found["seconds_per_1000"] / 1000
    seeds, nodes, sent = (
        [part[f"{name}_per_batch"] for part in parts]
        for name in ("seeds", "nodes", "sent_bytes")
    )
    return found | {
        "processes": layout.processes,
        "threads": layout.threads,
        "training_nodes_per_second": sum(seeds) / seconds,
        "nodes_per_batch": sum(nodes),
        "edges_per_batch": sum(part["edges_per_batch"] for part in parts),
        "nodes_per_process": statistics.mean(nodes),
        "sent_bytes_per_batch": statistics.mean(sent),
        "formula_bytes_per_batch": expected_bytes(
            layout, setting.channels, found["averaged_bytes"], statistics.mean(nodes)
        ),
        "peak_rss_bytes": max(part["peak_rss_bytes"] for part in parts),
    }


def expected_bytes(layout: Layout, channels: int, averaged: int, nodes: float) -> float:
    r"""Bytes that a process gives in a batch, on average.

    Gradients of what all processes have, and the loss; of a table in R parts also ids,
    vectors and gradients of :math:`\frac{R - 1}{R} u` rows, and how many they are.

    Args:
        layout: Which processes.
        channels: Width of a vector C.
        averaged: Bytes of what all have and train.
        nodes: Rows u that a process needs.
    """
    others = layout.processes - 1
    if others == 0:
        return 0.0
    found = float(averaged + _LOSS)
    if layout.kind == "sharded":
        found += others / layout.processes * nodes * (8 + 2 * 4 * channels)
        found += others * _LOSS
    return found


Work = Callable[[Setting, Path, Clock, str], dict[str, Any]]


def in_processes(
    count: int, work: Work, setting: Setting, folder: Path, kind: str
) -> list[dict[str, Any]]:
    """Do the same in new processes that ``torch.distributed`` joins.

    Args:
        count: How many.
        work: What to do; a function that a new process can import.
        setting: For it.
        folder: For it.
        kind: For it.

    Returns:
        What came out, with the peak memory, by rank.

    Raises:
        RuntimeError: One of them failed; the last line of what it said.
    """
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        arguments = (count, place, work, setting, folder, kind)
        try:
            start_processes(_process, arguments, count, start_method=START)  # type: ignore[no-untyped-call]
        except ProcessRaisedException as error:
            raise RuntimeError(str(error).strip().splitlines()[-1]) from error
        return [json.loads((place / str(rank)).read_text()) for rank in range(count)]


def _process(
    rank: int,
    count: int,
    place: Path,
    work: Work,
    setting: Setting,
    folder: Path,
    kind: str,
) -> None:
    distributed.init_process_group(
        "gloo", init_method=f"file://{place / 'store'}", rank=rank, world_size=count
    )
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Grad strides do not match")
            found = work(setting, folder, Clock(quiet=True), kind)
    finally:
        distributed.destroy_process_group()
    found["peak_rss_bytes"] = peak_rss_bytes()
    (place / str(rank)).write_text(json.dumps(found))
