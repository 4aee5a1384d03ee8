"""What codes mean: counts are those of a naive loop, and the page is what they say."""

import json
from itertools import combinations

import numpy as np
import pytest
import torch

from benchmarks.code_meaning import measure as measures
from benchmarks.code_meaning import page, task
from benchmarks.harness.experiment import Experiment
from kdgraph import KDEmbedding
from kdgraph.coders import FixedCoder
from kdgraph.data import sbm


@pytest.fixture
def codes():
    return torch.randint(3, (40, 4), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def y():
    return torch.randint(5, (40,), generator=torch.Generator().manual_seed(1))


def test_purity_is_that_of_a_loop(codes, y, monkeypatch):
    pairs, same = [0] * 5, [0] * 5
    for one, other in combinations(range(40), 2):
        apart = int((codes[one] != codes[other]).sum())
        pairs[apart] += 1
        same[apart] += int(y[one] == y[other])
    expected = {"pairs": pairs, "same": same}
    assert measures.purity_by_distance(codes, y) == expected
    monkeypatch.setattr(measures, "CHUNK_ROWS", 7)
    assert measures.purity_by_distance(codes, y) == expected


def test_purity_of_no_and_of_one_node():
    none = measures.purity_by_distance(
        torch.empty(0, 2, dtype=torch.int64), torch.empty(0, dtype=torch.int64)
    )
    assert none == {"pairs": [0, 0, 0], "same": [0, 0, 0]}
    one = measures.purity_by_distance(torch.zeros(1, 2).long(), torch.zeros(1).long())
    assert one == none


def test_usage_by_hand():
    found = measures.usage(torch.tensor([[0, 0], [1, 0], [0, 0], [1, 2]]), (2, 4))
    entropy = -(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25))
    assert found["choices"] == [2, 4]
    assert found["perplexity"] == pytest.approx([2.0, 2**entropy])
    assert found["dead"] == [0.0, 0.5]
    assert found["unique"] == 0.75


def test_majority_of_codes_that_are_the_classes(y):
    codes = torch.stack([y, torch.zeros_like(y)], dim=1)
    most = int(torch.bincount(y).max())
    assert measures.majority(codes, (5, 2), y) == [1.0, most / 40]
    dealt = measures.shuffled_majority(codes, (5, 2), y)
    assert dealt[0] < 0.7
    assert dealt[1] == most / 40


def test_map_is_that_of_weighted_components():
    generator = torch.Generator().manual_seed(0)
    codewords = torch.randn(6, 4, generator=generator)
    codes = torch.randint(5, (200,), generator=generator)  # the sixth is dead
    known = torch.arange(100)
    y = codes[known] % 2
    found = measures.codeword_map(codewords, codes, known, y)
    rows = codewords[codes].double().numpy()
    spread = np.linalg.eigvalsh(np.cov(rows.T, bias=True))[::-1]
    assert found["explained"] == pytest.approx(spread[:2].sum() / spread.sum())
    points = found["points"]
    counts = torch.bincount(codes, minlength=6)
    assert [point["nodes"] for point in points] == counts[counts > 0].tolist()
    assert [point["class"] for point in points] == [0, 1, 0, 1, 0]
    assert {point["share"] for point in points} == {1.0}
    places = np.array([[point["x"], point["y"]] for point in points])
    weight = counts[:5].numpy() / 200
    assert (weight @ places) == pytest.approx(0, abs=1e-4)
    assert (weight @ places**2) == pytest.approx(spread[:2], abs=1e-4)


def test_map_of_one_codeword_and_of_nodes_without_a_class():
    codewords = torch.tensor([[1.0], [2.0]])
    found = measures.codeword_map(
        codewords, torch.tensor([1, 1]), torch.tensor([0]), torch.tensor([2])
    )
    expected = {"x": 0.0, "y": 0.0, "nodes": 2, "class": 2, "share": 1.0}
    assert found["points"] == [expected]
    found = measures.codeword_map(
        codewords, torch.tensor([0, 1]), torch.tensor([0]), torch.tensor([2])
    )
    assert found["points"][1]["class"] is None


def made_up(codes, sizes, **options):
    return KDEmbedding(
        codes.size(0),
        8,
        num_codebooks=len(sizes),
        codebook_size=sizes,
        coder=FixedCoder(codes),
        composer="sum",
        **options,
    ).export()


def test_trained_nodes_and_null_nodes_are_not_asked():
    graph = sbm(num_nodes=60, mean_degree=4, seed=0)
    codes = torch.randint(1, 4, (60, 2), generator=torch.Generator().manual_seed(0))
    unseen = [v for v in range(60) if v not in graph.train_idx.tolist()]
    codes[unseen[:5]] = 0
    found = task.measure(made_up(codes, (4, 4)), graph)
    left = len(unseen) - 5
    assert found["null_nodes"] == 5
    assert sum(found["purity"]["pairs"]) == left * (left - 1) // 2
    assert found["map"] is None  # four choices say too little


def test_run_on_a_graph_that_is_generated(monkeypatch):
    graph = sbm(num_nodes=200, mean_degree=6, seed=0)
    monkeypatch.setattr(task, "load_graph", lambda name, root: graph)
    options = {"coder": "fixed", "codes": "order:2x2+spectral:2x8", "dim": 8}
    options |= {"epochs": 2, "hidden-dim": 8}
    task.validate(options, "sbm")
    found = task.run(options, "sbm", 1, None)
    codes = found["codes"]
    assert codes["usage"]["choices"] == [4, 8, 8]
    assert codes["null_nodes"] == 0
    assert codes["map"]["position"] in (1, 2)
    assert found["test_score"]["mean"] > 0
    with pytest.raises(ValueError, match="method 'full' has no codes to ask"):
        task.validate({"method": "full"}, "sbm")


# --- page and figures -----------------------------------------------------------------


def test_parts_hold_every_distance_once():
    for length in (2, 3, 6, 9, 33):
        held = [d for part in page._parts(length) for d in range(length)[part]]
        assert held == list(range(length))


def result(codes):
    return {
        "codes": codes,
        "config": {"codes": None},
        "num_nodes": 60,
        "test_score": {"mean": 0.5, "std": 0.0, "seeds": [0.5]},
    }


def test_page_and_figures_of_made_up_codes(tmp_path, monkeypatch):
    def result_path(experiment, dataset, output=None):
        return tmp_path / f"{experiment.name}-{dataset}.json"

    monkeypatch.setattr(Experiment, "result_path", result_path)
    graph = sbm(num_nodes=60, mean_degree=4, seed=0)
    drawn = torch.randint(9, (60, 4), generator=torch.Generator().manual_seed(0))
    codes = task.measure(made_up(drawn, (9, 9, 9, 9)), graph)
    codes["purity"] = {"pairs": [29, 30, 40, 0, 1], "same": [29, 15, 10, 0, 1]}
    kept = json.dumps({"status": "ok", "result": result(codes)})
    (tmp_path / "kd-softmax-cora.json").write_text(kept)
    shown = page.render()
    assert "| - of 29 | 50 % of 30 | 25 % of 40 | - of 0 | - of 1 | 55 % |" in shown
    assert "| 4 of 9 | 50.0 |" in shown
    pytest.importorskip("matplotlib")
    for path, digest in page.figures().items():
        first, second = tmp_path / "first.svg", tmp_path / "second.svg"
        from benchmarks.code_meaning import figure

        kind = path.stem.rpartition("-")[2]
        figure.draw(kind, page.measured("cora"), "Cora", first)
        if kind == "map":
            figure.draw(kind, page.measured("cora"), "Cora", second)
            assert first.read_text() == second.read_text()
        assert digest in first.read_text()


def test_classes_look_different():
    from benchmarks.code_meaning import figure

    assert len({figure.look(rank) for rank in range(21)}) == 21
    assert len({figure.look(rank)[1] for rank in range(7)}) == 7
