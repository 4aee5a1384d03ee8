"""Data sets read from their place: tiny files in each format, and the real ones."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from scipy.io import savemat

from kdgraph.data import Graph, homophily, load_graph

Listing = Callable[[Path], dict[str, tuple[int, int]]]
EDGES = np.array([[0, 1], [1, 2], [2, 3], [4, 5], [5, 5]])
LABELS = np.array([0, 1, 2, 0, 1, 1])
SPLIT = {"train_idx": [0, 1], "valid_idx": [2], "test_idx": [3, 5]}
MULTI = np.eye(3, dtype=np.uint8)[LABELS]

PLAIN = {
    "dblp": "dblp/dblp.npz",
    "blogcatalog": "blogcatalog/blogcatalog.npz",
    "pos-wikipedia": "pos_wikipedia/pos_wikipedia.npz",
}
SOCIAL = {"lastfm-asia": "lastfm_asia", "github": "github"}
MASKED = ("tolokers", "minesweeper")
NAMES = (*PLAIN, *SOCIAL, *MASKED, "cornell5", "arxiv-year")


def save(path: Path, **arrays: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return path


def save_plain(root: Path, name: str, **changes: Any) -> Path:
    y = LABELS if name == "dblp" else MULTI
    arrays = {"edge_index": EDGES.T, "num_nodes": 6, "y": y, **SPLIT, **changes}
    return save(root / PLAIN[name], edge_weight=np.ones(5), **arrays)


def save_social(root: Path, name: str, **changes: Any) -> Path:
    folder = root / SOCIAL[name]
    save(folder / "split.npz", **SPLIT)
    both = np.concatenate([EDGES, EDGES[:, ::-1]])
    features = np.zeros((6, 0))
    arrays = {"edges": both, "target": LABELS, "features": features, **changes}
    return save(folder / "raw" / f"{SOCIAL[name]}.npz", **arrays)


def save_masked(root: Path, name: str, **changes: Any) -> Path:
    masks = np.zeros((3, 10, 6), dtype=bool)
    for part, idx in enumerate(SPLIT.values()):
        masks[part, 0, idx] = True
        masks[part, 1:, (np.array(idx) + 1) % 6] = True
    keys = ("train_masks", "val_masks", "test_masks")
    arrays = {
        "edges": EDGES,
        "node_labels": LABELS,
        "node_features": np.zeros((6, 7)),
        **dict(zip(keys, masks, strict=True)),
        **changes,
    }
    return save(root / "heterophilous" / name / "raw" / f"{name}.npz", **arrays)


def save_gender(root: Path, gender: np.ndarray, **changes: Any) -> Path:
    """Gender as the file has it: 0 unknown, then 1 and 2."""
    path = root / "linkx" / "cornell5" / "raw" / "data.mat"
    path.parent.mkdir(parents=True, exist_ok=True)
    size = len(gender)
    ring = sparse.coo_array(
        (np.ones(size), (np.arange(size), (np.arange(size) + 1) % size)),
        shape=(size, size),
    ).tocsc()
    info = np.stack([gender * 0 + 5, gender, gender * 0], axis=1).astype(np.uint16)
    savemat(path, {"A": ring + ring.T, "local_info": info, **changes})
    return path


def save_years(root: Path, **changes: Any) -> Path:
    """A small graph in the place of ogbn-arxiv, and years that differ from labels."""
    raw, split = root / "ogbn_arxiv" / "raw", root / "ogbn_arxiv" / "split" / "time"
    tables = {
        raw / "edge.csv.gz": EDGES,
        raw / "num-node-list.csv.gz": [[6]],
        raw / "num-edge-list.csv.gz": [[5]],
        raw / "node-label.csv.gz": np.zeros((6, 1), dtype=int),
        split / "train.csv.gz": [[0]],
        split / "valid.csv.gz": [[1]],
        split / "test.csv.gz": [[2]],
    }
    for path, rows in tables.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = "".join(",".join(map(str, row)) + "\n" for row in rows)
        path.write_bytes(gzip.compress(lines.encode()))
    codes = np.tile([1, 1, 2, 3, 0, 3], (5, 1))
    codes[1:] = codes[1:, ::-1]
    arrays = {"y": LABELS.astype(np.int8), "split": codes, **changes}
    return save(root / "arxiv-year" / "arxiv-year.npz", **arrays)


def save_any(root: Path, name: str) -> Path:
    if name in PLAIN:
        return save_plain(root, name)
    if name in SOCIAL:
        return save_social(root, name)
    if name in MASKED:
        return save_masked(root, name)
    return save_years(root) if name == "arxiv-year" else save_gender(root, LABELS)


def parts(graph: Graph) -> list[list[int]]:
    return [idx.tolist() for idx in (graph.train_idx, graph.valid_idx, graph.test_idx)]


@pytest.mark.parametrize("name", [n for n in NAMES if n != "cornell5"])
def test_every_format_holds_the_same_graph(
    tmp_path: Path, listing: Listing, name: str
) -> None:
    save_any(tmp_path, name)
    before = listing(tmp_path)
    graph = load_graph(name.upper().replace("-", "_"), tmp_path)
    assert listing(tmp_path) == before
    assert graph.name == name
    expected = np.zeros((6, 6))
    expected[EDGES[:, 0], EDGES[:, 1]] = expected[EDGES[:, 1], EDGES[:, 0]] = 1
    assert np.array_equal(graph.adj.toarray(), expected)
    assert parts(graph) == list(SPLIT.values())
    multi = name in ("blogcatalog", "pos-wikipedia")
    y = graph.y.argmax(dim=1) if multi else graph.y
    assert y.tolist() == LABELS.tolist()
    assert (graph.multi_label, graph.num_classes) == (multi, 3)
    dropped = "input features [6, 7] dropped" in graph.notes
    assert dropped == (name in MASKED)


def test_years_may_be_directed_and_the_rest_is_not(tmp_path: Path) -> None:
    save_years(tmp_path)
    assert load_graph("arxiv-year", tmp_path, directed=True).num_edges == 5
    save_masked(tmp_path, "tolokers")
    assert not load_graph("tolokers", tmp_path, directed=True).directed


def test_cornell5_draws_among_the_labelled(tmp_path: Path) -> None:
    gender = np.random.default_rng(3).integers(3, size=50)
    save_gender(tmp_path, gender)
    graph = load_graph("cornell5", tmp_path)
    assert graph.y.tolist() == (gender - 1).tolist()
    assert (graph.num_edges, graph.num_classes) == (100, 2)
    labelled = np.flatnonzero(gender)
    drawn = parts(graph)
    assert sorted(np.concatenate(drawn).tolist()) == labelled.tolist()
    assert [len(part) for part in drawn] == [
        len(labelled) // 2,
        len(labelled) * 3 // 4 - len(labelled) // 2,
        len(labelled) - len(labelled) * 3 // 4,
    ]
    assert parts(load_graph("cornell5", tmp_path)) == drawn
    assert drawn[0] != labelled[: len(drawn[0])].tolist()


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_one_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileNotFoundError, match=f"^{name} is not downloaded") as caught:
        load_graph(name, tmp_path)
    place = save_any(tmp_path, name).relative_to(tmp_path)
    assert str(tmp_path / place) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", SOCIAL)
def test_a_missing_split_is_one_sentence(tmp_path: Path, name: str) -> None:
    save_social(tmp_path, name)
    split = tmp_path / SOCIAL[name] / "split.npz"
    split.unlink()
    with pytest.raises(FileNotFoundError, match=f"{split} is missing; place an .npz"):
        load_graph(name, tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_one_sentence(tmp_path: Path, name: str) -> None:
    path = save_any(tmp_path, name)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=str(path)) as caught:
        load_graph(name, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "name", "changes", "says"),
    [
        (save_plain, "dblp", {"num_nodes": 5}, "to fit num_nodes = 5"),
        (save_social, "github", {"edges": EDGES.T}, r"edges must have shape \[E, 2\]"),
        (save_social, "github", {"target": MULTI}, r"target shape \[N\]"),
        (save_social, "github", {"target": LABELS[:5]}, "node id 5"),
        (
            save_masked,
            "tolokers",
            {"val_masks": np.zeros((10, 5), dtype=bool)},
            r"val_masks must hold booleans of shape \[10, 6\]",
        ),
        (
            save_masked,
            "tolokers",
            {"test_masks": np.zeros((10, 6))},
            "test_masks must hold booleans",
        ),
        (
            save_masked,
            "tolokers",
            {"train_masks": np.zeros((0, 6), dtype=bool)},
            r"of shape \[0, 6\]",
        ),
    ],
)
def test_malformed_arrays(
    tmp_path: Path,
    make: Callable[..., Path],
    name: str,
    changes: dict[str, Any],
    says: str,
) -> None:
    path = make(tmp_path, name, **changes)
    with pytest.raises(ValueError, match=says) as caught:
        load_graph(name, tmp_path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"split": np.ones((5, 4))}, r"split must have shape \[5, N\]"),
        ({"split": np.ones((0, 6))}, r"split must have shape \[5, N\]"),
        ({"y": np.array(3)}, r"fit y of shape \[\]"),
        ({"y": LABELS[:5], "split": np.ones((5, 5))}, r"y must have shape \[6\]"),
        ({"split": np.ones((5, 6))}, "valid_idx is empty"),
    ],
)
def test_malformed_years(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    path = save_years(tmp_path, **changes)
    with pytest.raises(ValueError, match=says) as caught:
        load_graph("arxiv-year", tmp_path)
    assert str(caught.value).startswith(str(path))


def test_malformed_mat(tmp_path: Path) -> None:
    save_gender(tmp_path, LABELS, local_info=LABELS[:4, None])
    with pytest.raises(ValueError, match="a matrix A and a table local_info"):
        load_graph("cornell5", tmp_path)
    save_gender(tmp_path, LABELS, local_info=np.ones((4, 2)))
    with pytest.raises(ValueError, match=r"y must have shape \[6\]"):
        load_graph("cornell5", tmp_path)


@pytest.mark.parametrize(
    ("name", "nodes", "entries", "classes", "split", "ratio"),
    [
        ("dblp", 51_264, 255_936, 60, (30_758, 10_253, 10_253), 0.488),
        ("blogcatalog", 10_312, 667_966, 39, (6187, 2062, 2063), None),
        # 92,517 edges, of which 222 are loops and count once.
        ("pos-wikipedia", 4777, 2 * 92_517 - 222, 40, (2866, 955, 956), None),
        ("lastfm-asia", 7624, 55_612, 18, (4574, 1525, 1525), 0.874),
        ("github", 37_700, 578_006, 2, (22_620, 7540, 7540), 0.845),
        ("cornell5", 18_660, 1_581_554, 2, (8411, 4205, 4206), None),
        ("tolokers", 11_758, 1_038_000, 2, (5879, 2939, 2940), 0.595),
        ("minesweeper", 10_000, 78_804, 2, (5000, 2500, 2500), 0.683),
        ("arxiv-year", 169_343, 2_315_598, 5, (84_671, 42_335, 42_337), None),
    ],
)
def test_published_counts(
    real_root: Path,
    name: str,
    nodes: int,
    entries: int,
    classes: int,
    split: tuple[int, int, int],
    ratio: float | None,
) -> None:
    try:
        graph = load_graph(name, real_root)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    assert (graph.num_nodes, graph.num_edges) == (nodes, entries)
    assert graph.num_classes == classes
    assert tuple(map(len, parts(graph))) == split
    if ratio is not None:
        assert homophily(graph) == pytest.approx(ratio, abs=5e-4)
