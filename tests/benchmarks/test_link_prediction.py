"""Links: nothing that is to be found leaks, and scores are those of a naive loop."""

import json
import math

import numpy as np
import pytest
import torch
from scipy import sparse

from benchmarks.harness.experiment import Experiment
from benchmarks.link_prediction import page, task, training
from benchmarks.link_prediction.neighbours import adamic_adar, score_neighbours
from benchmarks.link_prediction.non_edges import NonEdges
from benchmarks.link_prediction.ranking import dots, hits_at, reciprocal_rank
from benchmarks.link_prediction.split import CORRUPTED, split_links
from kdgraph.data import Graph, build_adjacency, sbm
from kdgraph.training import TrainConfig
from kdgraph.training.auto import WORTH
from kdgraph.training.recipes import resolve_config

TINY = {
    "method": "full",
    "dim": 8,
    "hidden-dim": 8,
    "num-layers": 2,
    "dropout": 0.0,
    "input-dropout": 0.0,
    "epochs": 3,
    "guidance": "none",
}


@pytest.fixture(scope="module")
def graph():
    return sbm(num_nodes=120, mean_degree=8, seed=0)


@pytest.fixture(scope="module")
def split(graph):
    return split_links(graph)


def unordered(pairs):
    return {(min(u, v), max(u, v)) for u, v in pairs.t().tolist()}


def edges_of(adj):
    return set(zip(*(ends.tolist() for ends in adj.nonzero()), strict=True))


def graph_of(adj):
    none = torch.empty(0, dtype=torch.int64)
    labels = torch.zeros(adj.shape[0], dtype=torch.int64)
    return Graph("tiny", adj, labels, none, none, none, 1)


# --- the split ------------------------------------------------------------------------


def test_every_link_is_in_one_part(graph, split):
    parts = [unordered(pairs) for pairs in (split.pairs, split.valid.pairs)]
    parts.append(unordered(split.test.pairs))
    whole = {pair for pair in edges_of(graph.adj) if pair[0] < pair[1]}
    assert set.union(*parts) == whole
    assert sum(map(len, parts)) == len(whole)
    assert len(parts[1]) == int(0.05 * len(whole))
    assert len(parts[2]) == int(0.10 * len(whole))


def test_messages_go_along_training_links_alone(split):
    known = {(min(pair), max(pair)) for pair in edges_of(split.graph.adj)}
    assert known == unordered(split.pairs)
    assert not known & unordered(split.valid.pairs)
    assert not known & unordered(split.test.pairs)
    assert (split.graph.adj != split.graph.adj.T).nnz == 0
    assert split.graph.train_idx.tolist() == sorted({v for pair in known for v in pair})


def test_training_passes_and_reads_training_links_alone(split, monkeypatch):
    seen = []
    read, message = training.read_graph, training.message_graph

    def reading(job, seed):
        seen.append(job.graph.adj)
        return read(job, seed)

    def messages(model, graph):
        seen.append(graph.adj)
        return message(model, graph)

    monkeypatch.setattr(training, "read_graph", reading)
    monkeypatch.setattr(training, "message_graph", messages)
    config = TrainConfig(
        coder="fixed",
        codes="tree:2x2+spectral:2x4",
        dim=8,
        hidden_dim=8,
        epochs=1,
        guidance="none",
    )
    training.train_links(resolve_config(config, split.graph), split, seed=0)
    assert [edges_of(adj) for adj in seen] == [edges_of(split.graph.adj)] * 2
    assert not edges_of(seen[0]) & unordered(split.test.pairs)


def test_negatives_are_linked_in_no_part(graph, split):
    known = edges_of(graph.adj)
    for queries in (split.valid, split.test):
        count = queries.pairs.size(1)
        assert queries.negatives.shape == (2, count)
        assert queries.corrupted.shape == (2 * count, CORRUPTED)
        heads = queries.heads.tolist()
        drawn = [
            (head, tail)
            for head, tails in zip(heads, queries.corrupted.tolist(), strict=True)
            for tail in tails
        ]
        for head, tail in [*drawn, *queries.negatives.t().tolist()]:
            assert head != tail
            assert (head, tail) not in known
        asked = set(zip(heads, queries.tails.tolist(), strict=True))
        assert asked == edges_of(build_adjacency(queries.pairs.numpy(), 120))


def test_split_depends_on_its_seed_alone(graph, split):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    again = split_links(graph)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(again.test.pairs, split.test.pairs)
    assert torch.equal(again.test.corrupted, split.test.corrupted)
    other = split_links(graph, seed=1)
    assert unordered(other.test.pairs) != unordered(split.test.pairs)


def test_permuted_split_asks_for_the_same_links(split):
    rows = torch.randperm(120, generator=torch.Generator().manual_seed(0))
    moved = split.permuted(rows)
    assert torch.equal(rows[moved.test.pairs], split.test.pairs)
    assert torch.equal(rows[moved.valid.corrupted], split.valid.corrupted)
    there = {(rows[u].item(), rows[v].item()) for u, v in edges_of(moved.graph.adj)}
    assert there == edges_of(split.graph.adj)


def test_loops_are_no_links():
    edges = np.array([[i, i + 1] for i in range(40)] + [[i, i] for i in range(41)]).T
    split = split_links(graph_of(build_adjacency(edges, 41)))
    parts = [split.pairs, split.valid.pairs, split.test.pairs]
    assert all(bool((pairs[0] != pairs[1]).all()) for pairs in parts)
    assert sum(pairs.size(1) for pairs in parts) == 40


def test_graphs_that_cannot_be_split():
    path = np.array([[0, 1, 2, 3], [1, 2, 3, 4]])
    with pytest.raises(ValueError, match="tiny has 4 links, too few to validate"):
        split_links(graph_of(build_adjacency(path, 5)))
    directed = sbm(num_nodes=50, mean_degree=4, seed=0, directed=True)
    with pytest.raises(ValueError, match="got sbm with directed edges"):
        split_links(directed)


# --- negatives ------------------------------------------------------------------------


def test_tails_are_uniform_over_what_is_left():
    star = build_adjacency(np.array([[0, 0], [1, 2]]), 6)
    drawn = NonEdges(star).tails(
        torch.tensor([0, 3]), 30_000, torch.Generator().manual_seed(0)
    )
    for row, left in zip(drawn, ([3, 4, 5], [0, 1, 2, 4, 5]), strict=True):
        counts = torch.bincount(row, minlength=6)
        assert counts.nonzero().squeeze(1).tolist() == left
        assert torch.allclose(
            counts[left] / 30_000, torch.tensor(1 / len(left)), atol=0.015
        )


def test_node_without_a_stranger_is_refused():
    star = build_adjacency(np.array([[0, 0], [1, 2]]), 3)
    with pytest.raises(ValueError, match="each of 3 nodes needs one that it is not"):
        NonEdges(star)


# --- scores ---------------------------------------------------------------------------


def test_hits_by_hand():
    negatives = torch.tensor([0.9, 0.1, 0.5, 0.3])
    positives = torch.tensor([0.95, 0.6, 0.5, 0.2])
    # The second best negative is 0.5, and an equal score is no hit.
    assert hits_at(positives, negatives, k=2) == 0.5
    assert hits_at(positives, negatives, k=1) == 0.25
    assert hits_at(positives, negatives, k=4) == 1.0
    assert hits_at(positives, negatives, k=5) == 1.0


def test_reciprocal_rank_by_hand():
    positives = torch.tensor([5.0, 2.0, 0.0, 1.0])
    corrupted = torch.tensor(
        [[1.0, 2.0, 3.0], [3.0, 1.0, 4.0], [1.0, 2.0, 3.0], [1.0, 1.0, 0.0]]
    )
    # Ranks 1, 3, 4, and 2: two that are equal count as one that is better.
    expected = (1 + 1 / 3 + 1 / 4 + 1 / 2) / 4
    assert reciprocal_rank(positives, corrupted) == pytest.approx(expected)


def test_dots_are_those_of_a_loop():
    z = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    heads, tails = torch.tensor([0, 5]), torch.tensor([[1, 2, 5], [0, 3, 3]])
    naive = [
        [float(z[head] @ z[tail]) for tail in row]
        for head, row in zip(heads, tails, strict=True)
    ]
    assert torch.allclose(dots(z, heads, tails), torch.tensor(naive))
    assert torch.equal(dots(z, heads, tails[:, 0]), dots(z, heads, tails)[:, 0])


def test_adamic_adar_by_hand():
    # 0 and 1 share 2 (three neighbours) and 3 (two neighbours); 4 hangs on 2.
    edges = np.array([[0, 1, 0, 1, 4], [2, 2, 3, 3, 2]])
    graph = graph_of(build_adjacency(edges, 6))
    found = adamic_adar(graph, torch.tensor([0, 0, 0]), torch.tensor([1, 4, 5]))
    shared = 1 / math.log(3)
    assert found.tolist() == pytest.approx([shared + 1 / math.log(2), shared, 0.0])
    many = adamic_adar(graph, torch.tensor([0, 4]), torch.tensor([[1, 4], [0, 1]]))
    assert many[0].tolist() == pytest.approx(found[:2].tolist())


def test_neighbours_find_links_of_clusters(split):
    found = score_neighbours(split)
    assert found.inference_bytes == 0
    assert found.test_mrr > 0.1  # 0.05 by chance


# --- runs -----------------------------------------------------------------------------


@pytest.fixture
def on_tiny(graph, monkeypatch):
    monkeypatch.setattr(task, "load_graph", lambda name, root: graph)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"method": "kd", "coder": "refined", "codes": "tree:2x2+spectral:2x4"},
        {"method": "kd", "coder": "fixed", "codes": "order:2x2"},
        {"method": "int8"},
    ],
    ids=["full", "refined", "order", "finished"],
)
def test_run_reports_the_epoch_that_validation_chose(on_tiny, options):
    options = TINY | options
    task.validate(options, "sbm")
    result = task.run(options, "sbm", 2, None)
    for seed, curve in enumerate(result["curves"]):
        assert len(curve["losses"]) == len(curve["valid_scores"]) == 3
        best = max(curve["valid_scores"])
        assert curve["valid_scores"].index(best) == curve["best_epoch"]
        if options["method"] != "int8":
            assert result["valid_score"]["seeds"][seed] == best
    assert result["inference_bytes"] > 0
    again = task.run(options, "sbm", 2, None)
    assert again["test_score"] == result["test_score"]
    assert again["mrr"] == result["mrr"]


def test_auto_takes_what_validation_links_prefer(on_tiny):
    options = TINY | {"method": "kd", "coder": "auto", "epochs": 1, "dim": 64}
    result = task.run(options | {"compression": 3.0}, "sbm", 1, None)
    auto = result["auto"]
    tried = {one["codes"]: one["valid_score"] for one in auto["tried"]}
    assert len(tried) > 1
    assert tried[auto["config"]["codes"]] > max(tried.values()) - WORTH - 1e-9
    assert result["config"] == auto["config"]
    assert auto["config"]["guidance"] == "none"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "labelprop", "guidance": "none"}, "links have none"),
        ({"method": "kd", "coder": "auto"}, "guidance None is not for links"),
        ({"guidance": "diffusion"}, "guidance 'diffusion' is not for links"),
        ({"guidance": "none", "batching": "neighbor"}, "in full batch, got 'neighbor'"),
        ({"method": "adamic-adar", "no-such": 1}, "unrecognized arguments: --no-such"),
    ],
)
def test_options_that_no_links_take(options, message):
    with pytest.raises(ValueError, match=message):
        task.validate(options, "cora")


def test_loss_that_is_not_finite_is_said(split):
    config = TrainConfig(method="full", dim=8, hidden_dim=8, epochs=9, lr=1e20)
    config = resolve_config(config.replace(guidance="none"), split.graph)
    with pytest.raises(FloatingPointError, match=r"in epoch \d; try a smaller lr"):
        training.train_links(config, split, seed=0)


# --- the page -------------------------------------------------------------------------


def score(*seeds):
    return {"mean": sum(seeds) / len(seeds), "std": 0.01, "seeds": list(seeds)}


def test_row_and_pick(tmp_path, monkeypatch):
    def result_path(experiment, dataset, output=None):
        return tmp_path / f"{experiment.name}-{dataset}.json"

    monkeypatch.setattr(Experiment, "result_path", result_path)
    result = {
        "test_score": score(0.5, 0.7),
        "mrr": score(0.25, 0.35),
        "valid_score": score(0.8, 0.8),
        "split": {"training_links": 850, "validation_links": 50, "test_links": 100},
        "config": {"lr": 0.01, "codes": "tree:4x4", "coder": "refined"}
        | {"code_dim": 8, "storage": "int8"},
        "auto": {},
        "inference_bytes": 2_000,
        "compression_ratio": 50.0,
        "training_bytes": 4_000,
        "full_training_bytes": 400_000,
        "coding_seconds": 1.25,
    }
    auto = {"config": result["config"], "tried": []}
    auto["tried"] = [{"codes": "tree:4x4", "bytes": 9, "valid_score": 0.8}]
    kept = {
        "kd-auto-50x": {"status": "ok", "result": result | {"auto": auto}},
        "adamic-adar": {"status": "ok", "result": result | {"inference_bytes": 0}},
        "full": {"status": "out-of-memory"},
    }
    for name, record in kept.items():
        (tmp_path / f"{name}-cora.json").write_text(json.dumps(record))
    shown = page.render()
    assert "850 links to train on, 50 to validate and 100 to test on." in shown
    assert (
        "/50** | 60.0 ± 1.0 | 30.0 ± 1.0 | 80.0 ± 1.0 | 2 | 0.01 | 2,000 | 50.0x | - | "
        "1.0 % | 1.2 s |"
    ) in shown
    assert "| full table | out-of-memory | - |" in shown
    assert "| 80.0 ± 1.0 | 2 | - | 0 | - | - | - |" in shown
    assert (
        "took `tree:4x4`, codewords of 8 in int8, re-chosen by gradients; validation "
        "scores: `tree:4x4` 80.0\n"
    ) in shown


def test_every_experiment_has_a_look():
    from benchmarks.link_prediction import figure

    for experiment in page.load_experiments(page.CONFIGS):
        if experiment.name != task.NEIGHBOURS:
            assert figure.family_of(experiment.name).label
    looks = figure.FAMILIES.values()
    assert len({look.marker for look in looks}) == len(looks)
    with pytest.raises(ValueError, match="no family of figures has experiment 'x'"):
        figure.family_of("x")


def test_sparse_adjacency_stays_sparse(split):
    assert isinstance(split.graph.adj, sparse.csr_array)
    assert split.graph.adj.dtype == np.float32
