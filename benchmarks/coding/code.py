"""Code one graph, and say how long it took and how much memory."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import sparse

from benchmarks.clock import Clock
from kdgraph.code_stats import code_stats
from kdgraph.codes import CodeTable, spectral_codes
from kdgraph.training.peak_memory import peak_rss_bytes

_ARRAYS = ("indptr", "indices")
_PAIRS = 1_000_000


def code(folder: Path, options: dict[str, Any], *, quiet: bool) -> dict[str, Any]:
    """Read the arrays of a graph, code it, and describe the codes."""
    begun = time.perf_counter()
    indptr, indices = (np.load(folder / f"{name}.npy") for name in _ARRAYS)
    nodes = len(indptr) - 1
    ones = np.ones(len(indices), dtype=np.float32)
    adj = sparse.csr_array((ones, indices, indptr), shape=(nodes, nodes))
    adj.has_canonical_format = True
    loaded, before = time.perf_counter() - begun, peak_rss_bytes()
    clock, worked = Clock(quiet=quiet), time.process_time()
    table = spectral_codes(adj, **options, progress=clock)
    coded, peak = time.perf_counter() - clock.begun, peak_rss_bytes()
    worked = time.process_time() - worked
    stats = code_stats(table)
    return {
        "num_nodes": nodes,
        "num_edges": adj.nnz // 2,
        "isolated_nodes": int((np.diff(indptr) == 0).sum()),
        "largest_degree": int(np.diff(indptr).max()),
        "seconds": {"load": loaded, "code": coded, **clock.seconds},
        "processor_seconds": worked,
        "peak_rss_bytes": peak,
        "peak_rss_bytes_before_coding": before,
        "graph_bytes": ones.nbytes + indices.nbytes + indptr.nbytes,
        "code_bytes": table.nbytes,
        "perplexity": stats.perplexity,
        "usage": stats.usage,
        "unique_ratio": stats.unique_ratio,
        "agreement": _agreement(adj, table),
    }


def _agreement(adj: sparse.csr_array, table: CodeTable) -> dict[str, list[float]]:
    """How often two nodes have the same code, by position."""
    rng = np.random.default_rng(0)
    entries = rng.integers(adj.nnz, size=_PAIRS)
    row = np.searchsorted(adj.indptr, entries, side="right") - 1
    first = table.codes(torch.from_numpy(row))
    pairs = {
        "neighbours": torch.from_numpy(adj.indices[entries].astype(np.int64)),
        "strangers": torch.from_numpy(rng.integers(adj.shape[0], size=_PAIRS)),
    }
    return {
        name: (first == table.codes(second)).double().mean(dim=0).tolist()
        for name, second in pairs.items()
    }
