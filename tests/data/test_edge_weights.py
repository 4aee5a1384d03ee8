"""Weights: checked, combined as said, and the same from every form of a graph."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.utils import coalesce

from kdgraph.data import (
    build_adjacency,
    load_graph,
    open_csr,
    prepare_graph,
    verify_graph,
)
from kdgraph.data.disk.layout import META
from tests.data.disk_graphs import TINY, hub, save

Arrays = dict[str, Any]


def by_hand(edges: np.ndarray, weights: np.ndarray, directed: bool) -> dict[Any, float]:
    """Repeated edges summed, then the larger of both directions."""
    sums: dict[Any, float] = {}
    for source, target, weight in zip(*edges.tolist(), weights.tolist(), strict=True):
        sums[target, source] = sums.get((target, source), 0.0) + weight
    if directed:
        return sums
    ends = {*sums, *((source, target) for target, source in sums)}
    return {
        (one, other): max(sums.get((one, other), 0.0), sums.get((other, one), 0.0))
        for one, other in ends
    }


def draw(count: int) -> np.ndarray:
    """A few values, so that directions tie, and zeros."""
    return np.random.default_rng(1).integers(0, 5, count) / 4


@pytest.mark.parametrize("directed", [False, True])
def test_as_a_loop_has_it(edge_list: tuple[np.ndarray, int], directed: bool) -> None:
    edges, num_nodes = edge_list
    weights = draw(edges.shape[1])
    adj = build_adjacency(edges, num_nodes, directed=directed, edge_weight=weights)
    rows = np.repeat(np.arange(num_nodes), np.diff(adj.indptr))
    ends = zip(rows.tolist(), adj.indices.tolist(), strict=True)
    found = dict(zip(ends, adj.data.tolist(), strict=True))
    assert found == by_hand(edges, weights, directed)
    assert 0.0 in found.values()  # still an edge
    plain = build_adjacency(edges, num_nodes, directed=directed)
    assert np.array_equal(adj.indices, plain.indices)
    assert (adj.dtype, adj.has_sorted_indices) == (np.float32, True)


def test_as_pyg_coalesces(edge_list: tuple[np.ndarray, int]) -> None:
    edges, num_nodes = edge_list
    weights = draw(edges.shape[1])
    index, wanted = coalesce(torch.from_numpy(edges), torch.from_numpy(weights))
    adj = build_adjacency(edges, num_nodes, directed=True, edge_weight=weights)
    assert np.array_equal(adj.toarray()[index[1], index[0]], wanted.numpy())


def test_what_is_symmetric_stays_as_it_is(tmp_path: Path, arrays: Arrays) -> None:
    """A list of both directions, as PyG stores undirected graphs, is not doubled."""
    one = np.array([[0, 1, 2], [1, 2, 3]])
    arrays["edge_index"] = np.concatenate([one, one[::-1]], axis=1)
    arrays["edge_weight"] = np.array([0.5, 2.0, 3.0] * 2)
    adj = load_graph(written(tmp_path, arrays)).adj
    assert adj[1, 0] == adj[0, 1] == 0.5
    assert adj.max() == 3.0


def written(folder: Path, arrays: Arrays) -> Path:
    np.savez_compressed(folder / "toy.npz", **arrays)
    return folder / "toy.npz"


def test_they_are_part_of_the_graph(tmp_path: Path, arrays: Arrays) -> None:
    plain = load_graph(written(tmp_path, arrays))
    assert not plain.weighted
    arrays["edge_weight"] = np.ones(5, dtype=np.int8)
    ones = load_graph(written(tmp_path, arrays))
    assert ones.fingerprint() == plain.fingerprint()
    arrays["edge_weight"] = np.array([1, 2, 1, 1, 1])
    path = written(tmp_path, arrays)
    graph = load_graph(path)
    assert graph.weighted
    assert graph.notes == ("edge_weight is used",)
    assert graph.fingerprint() != plain.fingerprint()
    assert graph.adj[2, 1] == graph.adj[1, 2] == 2.0
    moved = graph.permuted(np.array([5, 4, 3, 2, 1, 0]))
    assert moved.adj[3, 4] == moved.adj[4, 3] == 2.0
    aside = load_graph(path, unweighted=True)
    assert aside.fingerprint() == plain.fingerprint()
    assert aside.notes == ("edge_weight is left aside",)


BAD: dict[str, tuple[Any, str]] = {
    "nan": ([1, np.nan, 1, 1, 1], "holds nan"),
    "infinite": ([1, 1, 1, np.inf, 1], "holds inf"),
    "negative": ([1, 1, 1, -0.5, 1], "holds -0.5"),
    "beyond float32": ([1, 1, 1, 1e39, 1], r"holds 1e\+39"),
    "too many": ([1.0] * 6, r"shape \[5\].*got \[6\]"),
    "a column": (np.ones((5, 1)), r"shape \[5\].*got \[5, 1\]"),
    "a mask": ([True] * 5, "hold numbers.*bool"),
    "text": (["a"] * 5, "hold numbers"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_weights_are_one_sentence(
    tmp_path: Path, arrays: Arrays, name: str
) -> None:
    wrong, fault = BAD[name]
    arrays["edge_weight"] = np.array(wrong)
    path = written(tmp_path, arrays)
    for read in (load_graph, lambda path: prepare_graph(path, tmp_path / "g")):
        with pytest.raises(ValueError, match=f"edge_weight.*{fault}") as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "--unweighted" in str(caught.value)
        assert [item.name for item in tmp_path.iterdir()] == ["toy.npz"]
    assert not load_graph(path, unweighted=True).weighted


class TestOnDisk:
    """A graph that is prepared has the weights of one that is read."""

    @pytest.mark.parametrize("directed", [False, True])
    @pytest.mark.parametrize("memory", [TINY, 1 << 30])
    def test_the_same_as_in_memory(
        self, tmp_path: Path, memory: int, directed: bool
    ) -> None:
        edges = hub(2000)
        weights = draw(2000)
        path = save(tmp_path, edges, edge_weight=weights)
        prepare_graph(path, tmp_path / "g", directed=directed, memory=memory)
        verify_graph(tmp_path / "g")
        csr = open_csr(tmp_path / "g")
        adj = build_adjacency(edges, 300, directed=directed, edge_weight=weights)
        assert csr.weight is not None
        assert np.array_equal(csr.weight, adj.data)
        assert np.array_equal(csr.col, adj.indices)
        names = sorted(item.name for item in (tmp_path / "g").iterdir())
        assert names == ["col.npy", "meta.json", "rowptr.npy", "weight.npy"]

    def test_with_labels(self, tmp_path: Path, arrays: Arrays) -> None:
        arrays["edge_weight"] = np.array([1.0, 2.0, 0.1, 0.0, 1.0])
        path = written(tmp_path, arrays)
        prepare_graph(path, tmp_path / "g")
        prepare_graph(path, tmp_path / "plain", unweighted=True)
        graph, plain = load_graph(tmp_path / "g"), load_graph(tmp_path / "plain")
        assert graph.weighted
        assert graph.fingerprint() == load_graph(path).fingerprint()
        aside = load_graph(tmp_path / "g", unweighted=True)
        assert aside.fingerprint() == plain.fingerprint()
        assert aside.notes == ("edge_weight is used", "weights are left aside")
        found = [
            json.loads((tmp_path / name / META).read_text())["version"]
            for name in ("g", "plain")
        ]
        # An older reader must not take it without its weights.
        assert found == [2, 1]

    @pytest.mark.parametrize("stage", ["reading weights", "writing weights"])
    def test_a_stopped_build_goes_on(self, tmp_path: Path, stage: str) -> None:
        edges, weights = hub(2000), draw(2000)
        path = save(tmp_path, edges, edge_weight=weights)

        def stop(done: float, now: str) -> None:
            if now == stage and done > 0.3:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            prepare_graph(path, tmp_path / "g", memory=TINY, progress=stop)
        prepare_graph(path, tmp_path / "g", memory=TINY)
        verify_graph(tmp_path / "g")
        adj = build_adjacency(edges, 300, edge_weight=weights)
        assert np.array_equal(open_csr(tmp_path / "g").weight, adj.data)  # type: ignore[arg-type]
