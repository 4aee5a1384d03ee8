"""A trained classifier as one file, and back."""

import copy
import os
from typing import Any

from torch import Tensor, nn

from kdgraph.artifact import Artifact, read_artifact
from kdgraph.codes import CodeTable
from kdgraph.data import Graph
from kdgraph.embedding import KDEmbedding
from kdgraph.ops import inverse_order
from kdgraph.packed import PackedEmbedding
from kdgraph.training.config import TrainConfig
from kdgraph.training.methods import without_memory
from kdgraph.training.networks import build_gnn
from kdgraph.training.seed_result import SeedResult

GRAPH_ORDER = "graph_order"
"""Metadata: the checksum of the graph whose ids the file takes."""
PLACE_ORDER = "place_order"
"""Metadata: that of the graph in the order of its places, for rows without a map."""


def save_classifier(
    path: str | os.PathLike[str],
    *,
    encoder: KDEmbedding,
    best: dict[str, Any],
    graph: Graph,
    config: TrainConfig,
    result: SeedResult,
    rows: Tensor | None = None,
) -> None:
    """Write the best epoch of a seed as an artifact.

    Args:
        path: Where to.
        encoder: The trained encoder; its composer takes on the best epoch's tensors.
        best: What :class:`Trainer` kept of that epoch.
        graph: Where it was trained, as it is stored.
        config: The resolved configuration.
        result: What the seed gave.
        rows: The node at each place of the order in which it was trained, where that is
            another; the file takes the ids of the graph. (default: ``None``)

    Raises:
        OSError: The file cannot be written.
    """
    metadata = {
        "dataset": graph.name,
        "graph_fingerprint": graph.fingerprint(),
        GRAPH_ORDER: graph.order_checksum(),
        "config": config.as_dict(),
        "num_classes": graph.num_classes,
        "metric": config.metric or graph.metric,
        "threshold": result.threshold,
        "test_score": result.test_score,
        "valid_score": result.valid_score,
        "seed": result.seed,
    }
    if rows is not None:
        metadata[PLACE_ORDER] = graph.permuted(rows.numpy()).order_checksum()
    packed = best_embedding(encoder, best, rows)
    packed.save(path, gnn=best["gnn"], metadata=metadata)


def best_embedding(
    encoder: KDEmbedding, best: dict[str, Any], rows: Tensor | None = None
) -> PackedEmbedding:
    """The packed form of the best epoch.

    Args:
        encoder: The trained encoder.
        best: What :class:`Trainer` kept of that epoch.
        rows: The node at each place of the order in which it was trained; what is given
            then takes the ids of the graph. (default: as it was trained)
    """
    composer = copy.deepcopy(encoder.composer).freeze()
    composer.load_stored(best["composer"])
    table = CodeTable(best["packed"], encoder.codebook_sizes, encoder.prefix)
    if rows is not None:
        table = table.reordered(inverse_order(rows))
    return PackedEmbedding(table, composer)


def load_classifier(
    path: str | os.PathLike[str], graph: Graph | None = None
) -> tuple[PackedEmbedding, nn.Module]:
    """Read the encoder and the network that ``kdgraph train --save`` wrote.

    Both give what they gave when they were trained: the network takes all vectors and
    the adjacency of :func:`message_graph`, of the graph that it was trained on. Of a
    file that was exported with ``--rows``, that is the graph in the order of its
    places.

    Of several labels per node scored by ``micro-f1``, those are predicted whose
    ``sigmoid`` exceeds ``read_artifact(path).metadata["threshold"]``.

    Args:
        path: A ``seed-*.kdg.safetensors`` of a run folder, or what ``kdgraph export``
            made of it.
        graph: The graph whose ids it will be given, to check that they are those of the
            file. (default: not checked)

    Returns:
        The encoder and the network, in evaluation mode.

    Raises:
        ValueError: Not a sound artifact, one without a network, or a graph whose nodes
            are others, or in another order.

    Warns:
        UserWarning: A file of an older version whose codes are implied by an order of
            the nodes that it does not hold.

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
        ...     encoder, gnn = load_classifier(path, graph)
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
    artifact.warn_if_it_lacks_a_map()
    if graph is not None:
        _check_graph(artifact, graph)
    encoder = PackedEmbedding(artifact.table, artifact.composer)
    return encoder, gnn.requires_grad_(requires_grad=False).eval()


def _check_graph(artifact: Artifact, graph: Graph) -> None:
    """Refuse a graph whose ids are not those of the file.

    Raises:
        ValueError: Other nodes, or another order of them.
    """
    metadata = artifact.metadata
    if GRAPH_ORDER in metadata:
        wanted, found = metadata[GRAPH_ORDER], graph.order_checksum()
    else:
        wanted, found = metadata.get("graph_fingerprint"), graph.fingerprint()
    if wanted == found:
        return
    implied = artifact.table.prefix is not None and not artifact.map_bytes
    remedy = "give the graph it was trained on, with its nodes in the order of the file"
    if implied:
        remedy += "'s places, or a file that holds the map from ids to places"
    raise ValueError(
        f"{artifact.path} takes the ids of another graph than {graph.name!r}, or of "
        f"the same in another order (checksum {str(wanted)[:12]}, got {found[:12]}); "
        f"{remedy}"
    )
