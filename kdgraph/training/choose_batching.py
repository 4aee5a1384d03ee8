"""Whether a graph is trained at once or in mini-batches, and in which."""

from typing import Any

from kdgraph.data import Graph
from kdgraph.data.memory import ASSUMED, memory_limit
from kdgraph.training.config import TrainConfig
from kdgraph.training.full_batch_bytes import full_batch_bytes
from kdgraph.training.methods import code_recipe
from kdgraph.training.ranks import Ranks

SHARE = 0.6
"""Of the memory of the machine that a full batch may take."""
BATCH_SIZE = 1024
CLUSTER_NODES = 10_000
"""Of a union of clusters."""
FANOUT = (15, 10, 5)
"""Hamilton et al. (NeurIPS 2017) draw 25 and 10; the first three of OGB's examples."""


def fits_at_once(config: TrainConfig, graph: Graph) -> bool:
    """Whether the machine has the memory to train on all nodes at once.

    One that does not tell is taken to have :data:`kdgraph.data.memory.ASSUMED`.
    """
    limit = memory_limit()
    return full_batch_bytes(config, graph) <= SHARE * (
        ASSUMED if limit is None else limit
    )


def choose_batching(config: TrainConfig, graph: Graph) -> TrainConfig:
    """Fill in how an epoch is cut into steps.

    A batch size or a fan-out asks for mini-batches, and so do several processes.
    Otherwise the memory of the machine decides, and not what is free at the moment, so
    that a run is gone on with as it was begun.

    Args:
        config: With the sizes of the network and of codes.
        graph: Where it is trained.

    Raises:
        ValueError: A batch of more nodes than there are to train on, clusters without
            codes that tell them, or several processes with another batching than
            neighbours.
    """
    together = Ranks().size > 1
    asked = config.batch_size is not None or config.fanout is not None
    batching = config.batching
    if batching is None:
        once = not asked and not together and fits_at_once(config, graph)
        batching = "full" if once or config.method == "labelprop" else "neighbor"
    if batching == "full":
        if together and config.method != "labelprop":
            raise ValueError(
                "several processes train in mini-batches, got batching 'full'; leave "
                "it out, or run one process"
            )
        return config.replace(batching=batching, batch_size=None, fanout=None)
    if batching == "cluster":
        if together:
            raise ValueError(
                "several processes train in batches of neighbours, got batching "
                "'cluster'; leave it out, or run one process"
            )
        if config.method != "labelprop" and code_recipe(config) is None:
            coder = f" and coder {config.coder!r}" if config.method == "kd" else ""
            raise ValueError(
                "batching 'cluster' takes the clusters from codes that are read off "
                "the graph, as those of --codes tree:16x16 are; got method "
                f"{config.method!r}{coder} without such codes"
            )
        size = config.batch_size or min(CLUSTER_NODES, graph.num_nodes)
        return config.replace(batching=batching, batch_size=size)
    count, layers = graph.train_idx.numel(), config.num_layers or 1
    size = config.batch_size or max(1, min(BATCH_SIZE, count))
    if size > max(1, count):
        raise ValueError(
            f"batch_size is at most the number of training nodes, {count}, got {size}"
        )
    fanout = config.fanout
    if fanout is None:
        fanout = (FANOUT + FANOUT[-1:] * layers)[:layers]
    changes: dict[str, Any] = {"batching": batching, "batch_size": size}
    return config.replace(**changes, fanout=fanout)


def describe_batching(config: TrainConfig, graph: Graph) -> str:
    """What was chosen, and why, in one line."""
    needed = full_batch_bytes(config, graph) / 1e9
    limit = memory_limit()
    has = f" of the {(ASSUMED if limit is None else limit) / 1e9:.1f} GB "
    has += "assumed, as this system does not tell" if limit is None else "here"
    if config.batching == "full":
        return f"full batch: takes about {needed:.1f} GB{has}"
    if config.batching == "cluster":
        what = f"clusters of about {config.batch_size:,} nodes together"
    else:
        fanout = ",".join(map(str, config.fanout or ()))
        what = f"{config.batch_size:,} training nodes, fan-out {fanout}"
    return f"mini-batches of {what}: a full batch would take about {needed:.1f} GB{has}"
