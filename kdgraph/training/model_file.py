"""A trained classifier as one file, and back."""

import copy
import os
from typing import Any

from torch import nn

from kdgraph.artifact import read_artifact
from kdgraph.codes import CodeTable
from kdgraph.data import Graph
from kdgraph.embedding import KDEmbedding
from kdgraph.packed import PackedEmbedding
from kdgraph.training.config import TrainConfig
from kdgraph.training.methods import without_memory
from kdgraph.training.networks import build_gnn
from kdgraph.training.seed_result import SeedResult


def save_classifier(
    path: str | os.PathLike[str],
    *,
    encoder: KDEmbedding,
    best: dict[str, Any],
    graph: Graph,
    config: TrainConfig,
    result: SeedResult,
) -> None:
    """Write the best epoch of a seed as an artifact.

    Args:
        path: Where to.
        encoder: The trained encoder; its composer takes on the best epoch's tensors.
        best: What :class:`Trainer` kept of that epoch.
        graph: Where it was trained.
        config: The resolved configuration.
        result: What the seed gave.

    Raises:
        OSError: The file cannot be written.
    """
    metadata = {
        "dataset": graph.name,
        "graph_fingerprint": graph.fingerprint(),
        "config": config.as_dict(),
        "num_classes": graph.num_classes,
        "metric": graph.metric,
        "test_score": result.test_score,
        "valid_score": result.valid_score,
        "seed": result.seed,
    }
    packed = best_embedding(encoder, best)
    packed.save(path, gnn=best["gnn"], metadata=metadata)


def best_embedding(encoder: KDEmbedding, best: dict[str, Any]) -> PackedEmbedding:
    """The packed form of the best epoch.

    Args:
        encoder: The trained encoder.
        best: What :class:`Trainer` kept of that epoch.
    """
    composer = copy.deepcopy(encoder.composer).freeze()
    composer.load_stored(best["composer"])
    table = CodeTable(best["packed"], encoder.codebook_sizes, encoder.prefix)
    return PackedEmbedding(table, composer)


def load_classifier(path: str | os.PathLike[str]) -> tuple[PackedEmbedding, nn.Module]:
    """Read the encoder and the network that ``kdgraph train --save`` wrote.

    Both give what they gave when they were trained: the network takes all vectors and
    the adjacency of :func:`message_graph`. Where codes are told by an order of the
    nodes, that is the graph in this order, ``graph.permuted`` by the run folder's
    ``seed-*.order.npy``, unless the file was exported with original ids.

    Args:
        path: A ``seed-*.kdg.safetensors`` of a run folder, or what ``kdgraph export``
            made of it.

    Returns:
        The encoder and the network, in evaluation mode.

    Raises:
        ValueError: Not a sound artifact, or one without a network.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from kdgraph.data import sbm
        >>> from kdgraph.training import Runner, TrainConfig, message_graph
        >>> graph = sbm(num_nodes=60, mean_degree=4, seed=0)
        >>> config = TrainConfig(dim=8, num_codebooks=4, codebook_size=2, epochs=2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     result = Runner(graph, config, save=Path(folder) / "run").run(seeds=1)
        ...     path = Path(folder) / "run" / "seed-0.kdg.safetensors"
        ...     encoder, gnn = load_classifier(path)
        >>> scores = gnn(encoder(), message_graph("gcn", graph))
        >>> hits = scores.argmax(dim=1)[graph.test_idx] == graph.y[graph.test_idx]
        >>> float(hits.double().mean()) == result.test_scores[0]
        True
    """
    artifact = read_artifact(path, verify=True)
    metadata = artifact.metadata
    missing = [key for key in ("config", "num_classes") if key not in metadata]
    if missing or not artifact.gnn:
        raise ValueError(
            f"{path} holds an encoder, but not how to build the network on it; read it "
            "with PackedEmbedding.load"
        )
    try:
        config = TrainConfig.from_dict(metadata["config"])
        if (config.num_layers or 0) > len(artifact.gnn):
            raise ValueError(
                f"{config.num_layers} layers, but {len(artifact.gnn)} tensors"
            )
        # Without memory until the weights turn out to fit, whatever sizes are named.
        with without_memory("its network"):
            gnn = build_gnn(config, metadata["num_classes"])
        gnn.load_state_dict(artifact.gnn, assign=True)
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{path} holds a network that cannot be rebuilt: {reason}"
        ) from error
    encoder = PackedEmbedding(artifact.table, artifact.composer, artifact.rows)
    return encoder, gnn.requires_grad_(requires_grad=False).eval()
