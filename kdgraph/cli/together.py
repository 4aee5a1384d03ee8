"""Processes that ``torchrun`` started, as one job."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import distributed

from kdgraph.compat import rendezvous

_PATIENCE = timedelta(days=1)
"""One process reads codes off the graph while the others wait; those that wait for one
that died are told so at once."""


def is_first() -> bool:
    """Whether this process is the one that speaks, as ``torchrun`` numbers them."""
    return "WORLD_SIZE" not in os.environ or os.environ.get("RANK", "0") == "0"


def _num_processes() -> int:
    """Number of processes, as the environment has them.

    Raises:
        ValueError: One without the other, or no such numbers.
    """
    rank, size = os.environ.get("RANK"), os.environ.get("WORLD_SIZE")
    if rank is None and size in (None, "1"):
        return 1
    if rank is None or size is None:
        here, lacks = ("WORLD_SIZE", "RANK") if rank is None else ("RANK", "WORLD_SIZE")
        raise ValueError(
            f"the environment has {here}={os.environ[here]} but no {lacks}; set both, "
            f"as torchrun does, or unset {here} to train in one process"
        )
    if not (rank.isdecimal() and size.isdecimal() and int(rank) < int(size)):
        raise ValueError(
            "the environment expects a RANK from 0 to below WORLD_SIZE, got "
            f"RANK={rank} and WORLD_SIZE={size}; start the processes by torchrun"
        )
    return int(size)


@contextmanager
def together(device: torch.device) -> Iterator[torch.device]:
    """Join the other processes of the job, if there are any.

    Args:
        device: Where to compute; of ``"cuda"`` each process takes one.

    Yields:
        The device of this process.

    Raises:
        ValueError: The environment describes half a job.
        RuntimeError: The others cannot be reached.
    """
    if _num_processes() < 2:
        yield device
        return
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    # Losses, counts and scores are on the CPU, wherever the model is.
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    # A restarted job finds what the earlier one left in the store, such as addresses
    # where nobody listens any more.
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    store, rank, size = rendezvous(f"kdgraph-{attempt}")
    distributed.init_process_group(
        backend,
        store=store,
        rank=rank,
        world_size=size,
        timeout=_PATIENCE,
    )
    try:
        with warnings.catch_warnings():
            # Of no use to who trains: a gradient of a few numbers is copied once more.
            warnings.filterwarnings("ignore", message="Grad strides do not match")
            yield device
    finally:
        distributed.destroy_process_group()


def is_parted(error: BaseException) -> bool:
    """Whether an error says that another process is gone."""
    if isinstance(error, distributed.DistError):
        return True
    text = str(error).lower()
    return "gloo" in text or "nccl" in text or "connection closed by peer" in text
