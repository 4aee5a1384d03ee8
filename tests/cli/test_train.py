"""``kdgraph train``: every choice, strange graphs, bad input, what is written."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kdgraph import KDEmbedding
from kdgraph.baselines import FullEmbedding

KEYS = {
    *("dataset", "method", "config", "num_nodes", "num_edges", "embedding_dim"),
    *("num_codebooks", "codebook_size", "metric", "test_score", "valid_score"),
    *("inference_bytes", "full_bytes", "compression_ratio", "training_bytes"),
    *("full_training_bytes", "peak_rss_bytes", "seconds_per_epoch", "versions", "git"),
    *("auto", "coding_seconds", "label_head", "processes", "bytes_per_step"),
    *("inference_bytes_in_order", "compression_ratio_in_order", "threshold"),
}

Train = Callable[..., dict[str, Any]]
Kdgraph = Callable[..., Any]


def test_json_has_the_promised_keys_and_arithmetic(train: Train) -> None:
    options = ("--coder", "softmax", "--seeds", 2)
    result = train(*options, "--compare", "full", "labelprop")
    assert set(result) == KEYS | {"compare"}
    assert set(result["compare"]) == {"full", "labelprop"}
    assert all(set(other) == KEYS for other in result["compare"].values())
    assert result["dataset"] == "rings"
    assert result["method"] == "kd"
    assert result["metric"] == "accuracy"
    assert (result["processes"], result["bytes_per_step"]) == (1, 0)
    assert (result["num_nodes"], result["embedding_dim"]) == (40, 8)
    assert (result["num_codebooks"], result["codebook_size"]) == (4, 3)
    # 40 x 4 positions of 2 bits, and 4 x 3 codewords of 2 floats
    assert result["inference_bytes"] == 40 + 4 * 3 * 2 * 4
    assert result["full_bytes"] == 4 * 40 * 8
    assert result["full_training_bytes"] == 16 * 40 * 8
    assert result["compression_ratio"] == result["full_bytes"] / 136
    encoder = KDEmbedding(
        40, 8, num_codebooks=4, codebook_size=3, coder=_coder(result["config"])
    )
    assert result["training_bytes"] == encoder.training_bytes("adam")
    assert result["peak_rss_bytes"] > 10_000_000
    assert 0 < result["seconds_per_epoch"] < 10
    for score in (result["test_score"], result["valid_score"]):
        assert len(score["seeds"]) == 2
        assert score["mean"] == statistics.fmean(score["seeds"])
        assert score["std"] == statistics.stdev(score["seeds"])
    full = result["compare"]["full"]
    assert full["inference_bytes"] == FullEmbedding(40, 8).inference_bytes()
    assert full["training_bytes"] == full["full_training_bytes"]
    assert full["num_codebooks"] is None
    assert result["compare"]["labelprop"]["inference_bytes"] == 0
    assert result["compare"]["labelprop"]["compression_ratio"] is None


def _coder(config: dict[str, Any]) -> Any:
    from kdgraph.coders import SoftmaxCoder

    return SoftmaxCoder(config["query_dim"] or None)


def test_num_edges_counts_both_directions(train: Train, npz: Path) -> None:
    assert train("--method", "labelprop")["num_edges"] == 2 * (80 + 1)
    assert train("--method", "labelprop", "--directed")["num_edges"] == 81


def test_summary_and_table_go_to_stdout(kdgraph: Kdgraph, npz: Path, tiny: Any) -> None:
    done = kdgraph("train", "--dataset", npz, *tiny, "--compare", "full")
    assert done.status == 0
    assert not done.err, "no progress bar where stderr is no terminal"
    lines = done.out.splitlines()
    assert lines[0].startswith("rings: 40 nodes, 162 edges, 2 classes, 12 / 12 / 16")
    header = next(line for line in lines if line.startswith("method"))
    assert "test accuracy" in header
    assert [line.split()[0] for line in lines[-2:]] == ["kd", "full"]
    quiet = kdgraph("train", "--dataset", npz, *tiny, "--compare", "full", "--quiet")
    assert quiet.out.splitlines()[0].startswith("method")
    assert len(quiet.out.splitlines()) == 4


@pytest.mark.parametrize("model", ["gcn", "sage", "gat", "gin"])
@pytest.mark.parametrize("directed", [(), ("--directed",)], ids=["both", "directed"])
def test_models(train: Train, model: str, directed: tuple[str, ...]) -> None:
    assert train("--model", model, *directed)["config"]["model"] == model


@pytest.mark.parametrize("coder", ["softmax", "gumbel", "vq", "threshold", "fixed"])
@pytest.mark.parametrize("composer", ["sum", "concat", "mlp", "recurrent", "ring"])
def test_coders_and_composers(train: Train, coder: str, composer: str) -> None:
    size = 2 if coder == "threshold" else 3
    options = ("--coder", coder, "--composer", composer, "--codebook-size", size)
    result = train(*options)
    assert result["config"]["coder"] == coder
    assert 0 <= result["test_score"]["mean"] <= 1


@pytest.mark.parametrize("coder", ["softmax", "vq"])
@pytest.mark.parametrize("guidance", ["online", "pretrained"])
def test_guidance_counts_its_teacher(train: Train, coder: str, guidance: str) -> None:
    alone = train("--coder", coder)["training_bytes"]
    result = train("--coder", coder, "--guidance", guidance)
    table = result["full_bytes"]
    if guidance == "online":
        assert result["training_bytes"] == alone + 4 * table
    else:
        assert result["training_bytes"] == max(alone + table, 4 * table)


@pytest.mark.parametrize(
    "options",
    [
        ("--codebook-size", "3,5,7,9"),
        ("--codebook-size", "65536"),
        ("--query-dim", "free"),
        ("--query-dim", "3"),
        ("--composer", "sum", "--dim", "7"),
        ("--composer", "mlp", "--dim", "9"),
        ("--entropy-weight", "0.1"),
        ("--code-dropout", "0.3"),
        ("--coder", "vq", "--codebook-size", "2,3,4,5", "--composer", "sum"),
        ("--coder", "fixed", "--codes", "compact"),
        ("--no-null-code",),
        ("--num-layers", "1"),
        ("--hidden-dim", "1"),
        ("--patience", "1", "--epochs", "9"),
        ("--method", "lowrank", "--rank", "2"),
        ("--method", "lowrank", "--max-bytes", "500"),
        ("--method", "full", "--compare", "kd", "kd", "--compare", "labelprop"),
        ("--compare", "kd"),
    ],
    ids=" ".join,
)
def test_other_choices(train: Train, options: tuple[str, ...]) -> None:
    train(*options)


def test_codes_from_a_file(train: Train, tmp_path: Path) -> None:
    codes = np.random.default_rng(0).integers(0, 3, (40, 4))
    np.save(tmp_path / "codes.npy", codes)
    options = ("--coder", "fixed", "--codes", tmp_path / "codes.npy")
    train(*options, "--save", tmp_path / "run")
    from kdgraph import PackedEmbedding

    packed = PackedEmbedding.load(tmp_path / "run" / "seed-0.kdg.safetensors")
    assert torch.equal(packed.codes(), torch.from_numpy(codes))


GRAPHS: dict[str, dict[str, Any]] = {
    "labels": {"y": np.random.default_rng(1).integers(0, 2, (40, 5))},
    "no label is true": {"y": np.zeros((40, 3), dtype=np.int64)},
    "one class": {"y": np.zeros(40, dtype=np.int64)},
    "no edges": {"edge_index": np.zeros((2, 0), dtype=np.int64)},
    "isolated nodes": {"edge_index": np.array([[0, 1], [1, 2]])},
    "self-loops": {"edge_index": np.arange(40)[None].repeat(2, 0)},
    "three nodes": {
        "num_nodes": 3,
        "edge_index": np.array([[0, 1], [1, 2]]),
        "y": np.array([0, 1, 0]),
        "train_idx": np.array([0]),
        "valid_idx": np.array([1]),
        "test_idx": np.array([2]),
    },
}


@pytest.mark.parametrize("model", ["gcn", "sage", "gat", "gin"])
@pytest.mark.parametrize("name", GRAPHS)
def test_strange_graphs(
    train: Train, save_graph: Callable[..., Path], tmp_path: Path, name: str, model: str
) -> None:
    path = save_graph(tmp_path / "strange.npz", **GRAPHS[name])
    rivals = ("--compare", "full", "lowrank", "labelprop", "--rank", "2")
    others = rivals if model == "gcn" else ()
    result = train("--dataset", path, "--model", model, "--epochs", 2, *others)
    assert result["metric"] == ("micro-f1" if "label" in name else "accuracy")
    if name == "one class":
        assert result["test_score"]["mean"] == 1.0
    if name == "no label is true" and others:
        assert result["compare"]["labelprop"]["test_score"]["mean"] == 0.0


TREE = ("--coder", "fixed", "--codes", "tree:4x2")
"""Sizes of codes that are read off the graph are theirs."""

BAD: list[tuple[tuple[str, ...], str]] = [
    (("--dim", "9", "--coder", "softmax"), "not a multiple of num_codebooks=4"),
    (("--dim", "0"), "dim is at least 1"),
    (("--dim", "99999999999999999996", "--coder", "softmax"), "at most 2147483647"),
    (("--dim", "99999999999999999996"), "at most 2147483647"),
    (("--codebook-size", "1"), "[2, 65536]"),
    (("--codebook-size", "65537"), "[2, 65536]"),
    (("--codebook-size", "3,5"), "one entry per position"),
    (("--codebook-size", "a"), "--codebook-size"),
    (("--num-codebooks", "0"), "num_codebooks is at least 1"),
    (("--query-dim", "-1"), "query_dim is at least 0"),
    (("--query-dim", "x"), "'free'"),
    (("--coder", "threshold"), "codebook_size=2"),
    (("--coder", "nonsense"), "invalid choice"),
    (("--method", "lowrank", "--rank", "100"), "rank of at most"),
    (("--compare", "lowrank", "--rank", "100"), "rank of at most"),
    (("--method", "lowrank", "--rank", "1", "--max-bytes", "100"), "either rank"),
    (("--method", "lowrank", "--max-bytes", "1"), "rank 1 takes"),
    (("--lr", "0"), "lr is above 0"),
    (("--lr", "nan"), "lr is above 0"),
    (("--lr", "inf"), "lr is above 0"),
    (("--lr", "1e38"), "lr is above 0"),
    (("--weight-decay", "-1"), "weight_decay is at least 0"),
    (("--weight-decay", "inf"), "weight_decay is finite"),
    (("--dropout", "1"), "dropout lies in [0, 1)"),
    (("--input-dropout", "nan"), "input_dropout lies in [0, 1)"),
    (("--code-dropout", "-0.1"), "code_dropout lies in [0, 1)"),
    (("--batch-size", "0"), "batch_size is at least 1"),
    (("--batch-size", "13"), "at most the number of training nodes, 12, got 13"),
    (("--batch-size", "many"), "--batch-size"),
    (("--fanout", "0,5"), "at least 1 neighbour for each layer, or -1 for all, got 0"),
    (("--fanout", "5,few"), "expected numbers or 'all' separated by commas"),
    (("--fanout", ","), "expected numbers or 'all' separated by commas"),
    (("--fanout", "5,5", "--num-layers", "3"), "each of 3 layers, got 5,5"),
    (("--batching", "full", "--batch-size", "4"), "batch_size is for mini-batches"),
    (("--batching", "full", "--fanout", "4,4"), "fanout is for mini-batches"),
    (("--batching", "cluster", "--fanout", "4,4"), "fanout is for batching 'neighbor'"),
    (("--batching", "cluster", "--coder", "softmax"), "coder 'softmax' without such"),
    (("--batching", "cluster", "--method", "full"), "method 'full' without such codes"),
    (("--batching", "some"), "invalid choice"),
    (("--precision", "float16"), "invalid choice"),
    (("--seeds", "0"), "--seeds is at least 1"),
    (("--epochs", "0"), "epochs is at least 1"),
    (("--epochs", "1.5"), "--epochs"),
    (("--patience", "0"), "patience is at least 1"),
    (("--hidden-dim", "0"), "hidden_dim is at least 1"),
    (("--hidden-dim", "6", "--model", "gat"), "divisible by the number of heads"),
    (("--num-layers", "0"), "num_layers is at least 1"),
    (("--guidance", "online", "--method", "full"), "needs method 'kd'"),
    (("--guidance-weight", "inf"), "guidance_weight is finite"),
    (("--guidance-mix", "2"), "guidance_mix lies in [0, 1]"),
    (("--entropy-weight", "0.1", "--coder", "vq"), "entropy_weight needs"),
    (("--coder", "fixed", "--codes", "none.npy"), "none.npy"),
    (("--device", "nowhere"), "--device"),
    (("--device", "meta"), "--device"),
    (("--checkpoint-seconds", "-1"), "checkpoint_seconds"),
    (("--checkpoint-seconds", "nan"), "checkpoint_seconds"),
    (("--dataset", "rongs"), "unknown graph"),
    (("--dataset", "none.npz"), "none.npz"),
    (("--json", "none/out.json"), "none does not exist"),
]


@pytest.mark.parametrize(
    ("options", "part"), BAD, ids=[" ".join(one) for one, _ in BAD]
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    kdgraph: Kdgraph,
    npz: Path,
    tiny: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    part: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    run_dir = tmp_path / "deep" / "run"
    arguments = ["--dataset", npz, *tiny, "--save", run_dir, "--json", "out.json"]
    done = kdgraph("train", *arguments, *options)
    assert done.status == 2
    assert part in done.sentence
    assert set(tmp_path.iterdir()) == before


MINI = {
    "neighbours": ("--batch-size", 5, "--fanout", "3,all"),
    "a fan-out alone": ("--fanout", "2,2,2"),
    "a batch size alone": ("--batch-size", 12),
    "sage": ("--batch-size", 5, "--model", "sage", "--precision", "bfloat16"),
    "gin": ("--batch-size", 5, "--model", "gin", "--coder", "vq"),
    "gat": ("--batch-size", 5, "--model", "gat", "--precision", "bfloat16"),
    "taught": ("--batch-size", 5, "--guidance", "labelprop", "--coder", "fixed"),
    "twice": ("--batch-size", 5, "--guidance", "diffusion", "--coder", "fixed"),
    "pretrained": ("--batch-size", 5, "--guidance", "pretrained"),
    "rivals": ("--batch-size", 5, "--compare", "full", "lowrank", "labelprop"),
}


@pytest.mark.parametrize("name", MINI)
def test_mini_batches(train: Train, name: str) -> None:
    options = MINI[name]
    config = train(*options)["config"]
    assert config["batching"] == "neighbor"
    size = 12 if "--batch-size" not in options else options[1]
    assert config["batch_size"] == size
    wanted = {"neighbours": [3, -1], "a fan-out alone": [2, 2, 2]}.get(name, [15, 10])
    assert config["fanout"] == wanted
    assert config["num_layers"] == len(wanted)


@pytest.mark.parametrize("options", [(), ("--batch-size", 10), ("--model", "gat")])
def test_unions_of_clusters(
    kdgraph: Kdgraph,
    save_graph: Callable[..., Path],
    tmp_path: Path,
    strict_json: Any,
    options: tuple[Any, ...],
) -> None:
    """Also where most unions have no training node."""
    order = np.random.default_rng(0).permutation(40)
    path = save_graph(tmp_path / "few.npz", train_idx=order[:2])
    arguments = ["--dataset", path, "--epochs", 4, "--dim", 8, "--hidden-dim", 8]
    arguments += ["--batching", "cluster", *TREE, *options]
    out = tmp_path / "result.json"
    done = kdgraph("train", *arguments, "--json", out, "--save", tmp_path / "run")
    assert done.status == 0, done.err
    assert "mini-batches of clusters of about" in done.out
    result = strict_json(out)
    assert result["config"]["batching"] == "cluster"
    assert result["config"]["batch_size"] == (10 if "--batch-size" in options else 40)


def test_a_rival_without_clusters_is_refused_before_anything_is_trained(
    kdgraph: Kdgraph, npz: Path, tmp_path: Path
) -> None:
    arguments = ["--dataset", npz, "--epochs", 2, "--dim", 8, *TREE]
    arguments += ["--batching", "cluster", "--compare", "full"]
    done = kdgraph("train", *arguments, "--save", tmp_path / "run")
    assert done.status == 2
    assert "got method 'full' without such codes" in done.sentence
    assert not (tmp_path / "run").exists()


def test_malformed_files(kdgraph: Kdgraph, tmp_path: Path, npz: Path) -> None:
    content = npz.read_bytes()
    for name, data in {"cut": content[:200], "text": b"hello", "empty": b""}.items():
        path = tmp_path / f"{name}.npz"
        path.write_bytes(data)
        done = kdgraph("train", "--dataset", path)
        assert done.status == 2
        assert str(path) in done.sentence


def test_json_replaces_whole_and_never_what_is_no_file(
    kdgraph: Kdgraph, npz: Path, tiny: Any, tmp_path: Path
) -> None:
    target = tmp_path / "real.json"
    target.write_text("old")
    (tmp_path / ".real.json.tmp").write_text("left by a killed process")
    link = tmp_path / "link.json"
    link.symlink_to(target)
    arguments = ("train", "--dataset", npz, *tiny, "--method", "labelprop", "--json")
    assert kdgraph(*arguments, link).status == 0
    assert link.is_symlink()
    assert json.loads(target.read_text())["method"] == "labelprop"
    assert not list(tmp_path.glob(".*"))
    assert kdgraph(*arguments, "/dev/null").status == 0
    assert not Path("/dev/null").is_file()
    assert "is a folder" in kdgraph(*arguments, tmp_path).sentence


def test_divergence_is_a_sentence_with_status_1(
    kdgraph: Kdgraph, npz: Path, tiny: Any, tmp_path: Path
) -> None:
    arguments = ("train", "--dataset", npz, *tiny, "--quiet", "--lr", "1e25")
    done = kdgraph(*arguments, "--epochs", 9, "--save", tmp_path / "run")
    assert done.status == 1
    assert "not finite" in done.sentence or "the loss is" in done.sentence
    assert not list(tmp_path.glob("run/*.json")) or (tmp_path / "run/run.json").exists()
    assert not list(tmp_path.glob("run/seed-*.json"))


def test_out_of_memory_is_a_sentence_with_status_1(
    kdgraph: Kdgraph, npz: Path, tiny: Any
) -> None:
    arguments = ("train", "--dataset", npz, *tiny, "--quiet")
    # One array of 320 GB, which no system promises to the end.
    done = kdgraph(*arguments, "--method", "full", "--dim", 2 * 10**9)
    assert done.status == 1
    assert "out of memory" in done.sentence


def test_edge_weights_are_used_or_named(
    kdgraph: Kdgraph, save_graph: Any, tiny: Any, tmp_path: Path
) -> None:
    weights = np.random.default_rng(0).random(81)
    path = save_graph(tmp_path / "weighted.npz", edge_weight=weights, hue=np.zeros(3))
    arguments = ["train", "--dataset", path, *tiny]
    for more, said in (
        ([], "edge_weight is used"),
        (["--unweighted"], "edge_weight is left aside"),
        (["--model", "sage"], "sage counts every edge once"),
    ):
        done = kdgraph(*arguments, *more)
        assert done.status == 0, done.err
        assert f"note: {said}" in done.out
        assert "note: not used: hue" in done.out
    weights[7] = np.nan
    path = save_graph(tmp_path / "weighted.npz", edge_weight=weights)
    assert "edge_weight holds nan" in kdgraph(*arguments).sentence
