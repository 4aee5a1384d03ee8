"""``kdgraph inspect``: what an artifact holds."""

import argparse
from pathlib import Path
from typing import Any

from kdgraph.artifact import Artifact, read_artifact
from kdgraph.artifact.reader import LACKS_MAP
from kdgraph.cli.format import human_bytes, text_table
from kdgraph.packed import PackedEmbedding


def add_parser(commands: Any) -> None:
    """Declare the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "inspect",
        help="print what an artifact holds",
        description="Check an artifact and print its sizes, bytes and codebook usage.",
    )
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="such as model.kdg.safetensors"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Check the file and describe it."""
    artifact = read_artifact(arguments.file, verify=True)
    facts = _facts(artifact)
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        print(f"{name.ljust(width)}  {value}")
    print()
    print(text_table(["part", "bytes", ""], _bytes(artifact)))
    print()
    stats = PackedEmbedding(artifact.table, artifact.composer).code_stats()
    rows = [
        [str(position), str(size), f"{100 * usage:.0f} %", f"{perplexity:.1f}"]
        for position, (size, usage, perplexity) in enumerate(
            zip(artifact.codebook_sizes, stats.usage, stats.perplexity, strict=True)
        )
    ]
    print(text_table(["position", "K", "used", "perplexity"], rows))
    print(
        f"\n{stats.unique_codes:,} distinct codes of {artifact.num_nodes:,} nodes "
        f"({100 * stats.unique_ratio:.1f} %), {stats.dead_codewords} codewords unused"
    )


def _facts(artifact: Artifact) -> dict[str, str]:
    sizes = artifact.codebook_sizes
    alphabet = str(sizes[0]) if len(set(sizes)) == 1 else "per position"
    facts = {
        "file": artifact.path,
        "written by": f"kdgraph {artifact.kdgraph_version}",
        "nodes": f"{artifact.num_nodes:,}",
        "channels": str(artifact.embedding_dim),
        "codebooks": f"{len(sizes)} of size {alphabet}",
        "composer": repr(artifact.composer),
    }
    if artifact.table.prefix is not None:
        facts["ids"] = _ids(artifact)
    for key in ("dataset", "metric", "threshold", "test_score", "valid_score"):
        if artifact.metadata.get(key) is not None:
            facts[key.replace("_", " ")] = str(artifact.metadata[key])
    return facts


def _ids(artifact: Artifact) -> str:
    """Whose ids the file takes, where an order of the nodes implies codes."""
    places = artifact.table.prefix and artifact.table.prefix.places
    if places is not None:
        return (
            "those of the graph, by a map to places in the order that implies codes, "
            f"{places.bits} bits a node"
        )
    if artifact.lacks_map:
        return LACKS_MAP
    return "places in the order that implies codes, as of a graph that is stored in it"


def _bytes(artifact: Artifact) -> list[list[str]]:
    stored = artifact.inference_bytes
    full = 4 * artifact.num_nodes * artifact.embedding_dim
    parts = {
        "codes": artifact.codes_bytes,
        **({"map of ids": artifact.map_bytes} if artifact.map_bytes else {}),
        "codebooks and composer": artifact.composer_bytes,
        "embedding": stored,
        "network": artifact.gnn_bytes,
        "header": artifact.header_bytes,
        "file": artifact.file_bytes,
    }
    rows = [[name, f"{count:,}", human_bytes(count)] for name, count in parts.items()]
    rows.append(["full table", f"{full:,}", f"{full / stored:.1f}x the embedding"])
    return rows
