"""Coder auto: what it may pick, what fits a budget, and what validation decides."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
import pytest
import torch
from scipy import sparse

from kdgraph.data import Graph, sbm
from kdgraph.training import Runner, TrainConfig
from kdgraph.training.auto import TRIED_SEEDS, WORTH, Pick, pick
from kdgraph.training.choices import MANY_CODE_DROPOUT, auto_choices
from kdgraph.training.job import Job
from kdgraph.training.methods import build_encoder, code_recipe
from kdgraph.training.reading import Reading
from kdgraph.training.seed_result import SeedResult

MakeGraph = Callable[..., Graph]


@pytest.fixture(scope="module")
def blocks() -> Graph:
    """Of a size at which budgets leave something to choose."""
    return sbm(num_nodes=600, num_classes=3, seed=0)


@pytest.fixture
def many(blocks: Graph, monkeypatch: pytest.MonkeyPatch) -> Graph:
    """The same, its labels counted as many."""
    monkeypatch.setattr("kdgraph.training.recipes.MANY_LABELS", 10)
    return blocks


def auto(**changes: Any) -> TrainConfig:
    return TrainConfig(coder="auto", **changes)


def star(make_graph: MakeGraph) -> Graph:
    """Leaves that no structure tells apart."""
    rays = np.zeros((201, 201), dtype=np.float32)
    rays[0, 1:] = rays[1:, 0] = 1.0
    nodes = torch.arange(201)
    idx = dict(zip(("train_idx", "valid_idx", "test_idx"), nodes.chunk(3), strict=True))
    return make_graph(name="star", adj=sparse.csr_array(rays), y=nodes % 2, **idx)


@pytest.mark.parametrize("codes", ["order:4x4", "place:9x9x9"])
def test_codes_that_an_order_implies_are_not_re_chosen(many: Graph, codes: str) -> None:
    for part, coder in (("", "fixed"), ("+spectral:2x8", "refined")):
        config = auto_choices(auto(codes=codes + part), many)[0][0].config
        assert config.coder == coder
        assert build_encoder(config, many.num_nodes).num_nodes == many.num_nodes


def is_ring(config: TrainConfig) -> bool:
    return config.composer == "ring"


def never(*_: Any) -> NoReturn:
    pytest.fail("nothing was to be tried or read")


# What may be picked


def test_few_labels_fix_codes_and_are_spread(blocks: Graph) -> None:
    choices, reason = auto_choices(auto(), blocks)
    assert "few labels" in reason
    assert len({choice.config.codes for choice in choices}) == len(choices) > 1
    for choice in choices:
        config = choice.config
        found = (config.coder, config.guidance, config.storage, config.composer)
        composer = "ring" if (config.codes or "").startswith("place") else "sum"
        assert found == ("fixed", "diffusion", "int8", composer)
        assert config.code_dropout == 0.0


def test_many_labels_refine_codes_and_learn_them_among_others(many: Graph) -> None:
    choices, reason = auto_choices(auto(), many)
    assert "many labels" in reason
    assert {one.config.coder for one in choices if not is_ring(one.config)} == {
        "refined",
        "softmax",
    }
    for choice in choices:
        assert choice.config.guidance == "none"
        if choice.config.coder == "refined":
            assert choice.config.code_dropout == MANY_CODE_DROPOUT
        if is_ring(choice.config):
            assert choice.config.coder == "fixed"
            assert choice.config.code_dropout == 0.0


@pytest.mark.parametrize(
    ("ratio", "ranks"),
    # 600 nodes in 8 x 9 x 9 places and 128 channels in 5 x 5 x 6 columns: 26 codewords
    # of 6 r^2 numbers, as float32 or in a byte each, in so many of 307,200 bytes, less
    # 750 of the map from ids to places, 10 bits each.
    [(10, [6, 13]), (50, [5]), (70, [4]), (100, [])],
)
def test_a_ring_has_the_rank_that_fits(
    blocks: Graph, ratio: float, ranks: list[int]
) -> None:
    choices, _ = auto_choices(auto(compression=ratio), blocks)
    rings = [one for one in choices if is_ring(one.config)]
    assert [ring.config.rank for ring in rings] == ranks
    assert {ring.config.codes for ring in rings} <= {"place:8x9x9"}
    for ring in rings:
        numbers = 26 * 6 * (ring.config.rank or 0) ** 2
        # Two ends of the order, and a scale of two bytes for each codebook.
        assert ring.bytes == numbers + 8 + 6 + 750


@pytest.mark.parametrize("storage", ["float32", "bfloat16", "int8"])
def test_a_ring_in_every_storage(blocks: Graph, storage: str) -> None:
    choices, _ = auto_choices(auto(composer="ring", storage=storage), blocks)
    for choice in choices:
        recipe = code_recipe(choice.config)
        assert recipe is not None
        codes = recipe.build(blocks.adj).codes
        encoder = build_encoder(choice.config, 600, Reading(codes))
        assert choice.bytes == encoder.inference_bytes() <= 4 * 600 * 128 / 50
    assert choices[-1].config.rank == {"float32": 2, "bfloat16": 4, "int8": 5}[storage]


def test_a_ring_of_a_rank(blocks: Graph) -> None:
    (choice,), reason = auto_choices(auto(composer="ring", rank=20), blocks)
    assert choice.config.rank == 20
    assert "none 50 times smaller than the table" in reason
    with pytest.raises(
        ValueError, match="no codes fit into 307 bytes: the smallest ta"
    ):
        auto_choices(auto(composer="ring", rank=2, compression=1000), blocks)


def test_a_ring_is_kept_from_taking_too_long(
    blocks: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A vector of 128 takes 128 r^2 products.
    monkeypatch.setattr("kdgraph.training.rings.MOST_PRODUCTS", 600 * 128 * 30)
    choices, _ = auto_choices(auto(compression=10), blocks)
    assert [one.config.rank for one in choices if is_ring(one.config)] == [5]


@pytest.mark.parametrize(
    "asked", [{"composer": "sum"}, {"code_dim": 6}, {"batching": "cluster"}], ids=str
)
def test_what_leaves_out_rings(blocks: Graph, asked: dict[str, Any]) -> None:
    choices, _ = auto_choices(auto(**asked), blocks)
    assert not any(is_ring(one.config) for one in choices)


def test_a_large_graph_has_no_ring_unless_asked_for(
    blocks: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kdgraph.training.choices.TRY_BELOW", 100)
    choices, _ = auto_choices(auto(), blocks)
    assert not any(is_ring(one.config) for one in choices)
    choices, _ = auto_choices(auto(composer="ring"), blocks)
    assert all(is_ring(one.config) for one in choices)


def test_a_few_nodes_have_no_places(make_graph: MakeGraph) -> None:
    graph = sbm(num_nodes=4, num_classes=2, seed=0)
    for composer in (None, "ring"):
        choices, _ = auto_choices(auto(composer=composer), graph)
        assert not any("place" in (one.config.codes or "") for one in choices)


@pytest.mark.parametrize(
    ("ratio", "positions", "size", "stored"),
    # Of 600 nodes two bits or one per position, and K times C numbers of codewords.
    [
        (20, 64, 3, 9_600 + 1_536),
        (50, 64, 2, 4_800 + 1_024),
        (100, 16, 2, 1_200 + 1_024),
    ],
)
def test_learned_codes_within_a_budget_have_fewer_choices(
    many: Graph, ratio: float, positions: int, size: int, stored: int
) -> None:
    choices, _ = auto_choices(auto(compression=ratio), many)
    (learned,) = [one for one in choices if one.config.coder == "softmax"]
    config = learned.config
    assert (config.num_codebooks, config.codebook_size) == (positions, size)
    assert learned.bytes == build_encoder(config, 600).inference_bytes() == stored


def test_a_budget_below_a_byte_learns_none(many: Graph) -> None:
    choices, _ = auto_choices(auto(compression=200), many)
    assert all(choice.config.coder != "softmax" for choice in choices)


def test_clusters_leave_out_codes_that_tell_none(many: Graph) -> None:
    choices, _ = auto_choices(auto(batching="cluster"), many)
    assert {choice.config.batching for choice in choices} == {"cluster"}
    assert all(code_recipe(choice.config) is not None for choice in choices)


def test_each_choice_is_trained_in_its_own_batching(
    many: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Codes that are learned take more memory, so that only they need mini-batches.
    monkeypatch.setattr(
        "kdgraph.training.choose_batching.fits_at_once",
        lambda config, _: config.coder != "softmax",
    )
    seen = {}

    class Seen(Runner):
        def _job(self, *arguments: Any) -> Job:
            job = super()._job(*arguments)
            seen[job.config.coder] = job.config.batching, job.adjacency is not None
            return job

    Seen(many, auto(epochs=1, hidden_dim=8)).run(seeds=1)
    assert seen["refined"] == ("full", True)
    assert seen["softmax"] == ("neighbor", False)


def test_codes_without_digits_have_nothing_to_refine(many: Graph) -> None:
    choices, _ = auto_choices(auto(bytes_per_node=3.0), many)
    assert [(one.config.coder, one.config.codes) for one in choices] == [
        ("softmax", None),
        ("fixed", "tree:8x8"),
    ]


@pytest.mark.parametrize(
    ("asked", "coder", "codes", "positions", "size"),
    [
        ({"codes": "tree:4x4"}, "fixed", "tree:4x4", 1, 16),
        ({"codes": "random"}, "fixed", "random", 32, 3),
        ({"num_codebooks": 4}, "fixed", "spectral:4x64", 4, 64),
        ({"codebook_size": 16}, "fixed", "spectral:8x16", 8, 16),
        ({"num_codebooks": 3, "codebook_size": 5}, "fixed", "spectral:3x5", 3, 5),
        ({"codebook_size": (3, 4)}, "softmax", None, 2, (3, 4)),
        ({"query_dim": 2}, "softmax", None, 32, 3),
        ({"entropy_weight": 0.1}, "softmax", None, 32, 3),
    ],
    ids=str,
)
def test_what_is_asked_for_is_kept(
    blocks: Graph,
    asked: dict[str, Any],
    coder: str,
    codes: str | None,
    positions: int,
    size: Any,
) -> None:
    found = pick(auto(**asked), blocks, never, lambda _: None).config
    sizes = found.num_codebooks, found.codebook_size
    assert (found.coder, found.codes, *sizes) == (coder, codes, positions, size)
    for name, value in asked.items():
        assert getattr(found, name) == value


@pytest.mark.parametrize(
    "asked",
    [
        {"guidance": "none"},
        {"guidance": "labelprop", "guidance_weight": 0.5},
        {"storage": "bfloat16"},
        {"storage": "float32"},
        {"code_dim": 6},
        {"code_dropout": 0.2},
        {"composer": "concat"},
        {"hidden_dim": 10, "epochs": 7, "model": "sage"},
    ],
    ids=str,
)
def test_other_options_are_kept_in_every_choice(
    blocks: Graph, asked: dict[str, Any]
) -> None:
    choices, _ = auto_choices(auto(**asked), blocks)
    for choice in choices:
        assert choice.config.codes is not None
        for name, value in asked.items():
            assert getattr(choice.config, name) == value


def test_choices_depend_on_nothing_else(blocks: Graph) -> None:
    first = auto_choices(auto(), blocks)
    torch.rand(3)
    relabelled = dataclasses.replace(blocks, y=blocks.y.flip(0))
    assert auto_choices(auto(), relabelled) == first


# Budgets


@pytest.mark.parametrize("ratio", [10, 50, 100, 150])
@pytest.mark.parametrize("kind", ["few", "many"])
def test_compression_is_reached(
    blocks: Graph, ratio: float, kind: str, request: pytest.FixtureRequest
) -> None:
    graph = blocks if kind == "few" else request.getfixturevalue("many")
    choices, _ = auto_choices(auto(compression=ratio), graph)
    for choice in choices:
        assert choice.bytes <= 4 * 600 * 128 / ratio
        assert (choice.config.compression, choice.config.bytes_per_node) == (None, None)


@pytest.mark.parametrize("budget", [3.0, 4.0, 8.0, 40.0])
def test_bytes_per_node_are_kept_and_counted_exactly(
    blocks: Graph, budget: float
) -> None:
    choices, _ = auto_choices(auto(bytes_per_node=budget), blocks)
    assert [one.bytes for one in choices] == sorted(one.bytes for one in choices)
    for choice in choices:
        recipe = code_recipe(choice.config)
        assert recipe is not None
        codes = recipe.build(blocks.adj).codes
        encoder = build_encoder(choice.config, 600, Reading(codes))
        assert choice.bytes == encoder.inference_bytes() <= 600 * budget


@pytest.mark.parametrize("storage", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("dim", [6, 128])
def test_bytes_are_exact_in_every_storage(
    blocks: Graph, storage: str, dim: int
) -> None:
    # Nothing fits into a fiftieth of so narrow a table: then it is the smallest.
    choices, _ = auto_choices(auto(storage=storage, dim=dim), blocks)
    for choice in choices:
        recipe = code_recipe(choice.config)
        assert recipe is not None
        codes = recipe.build(blocks.adj).codes
        encoder = build_encoder(choice.config, 600, Reading(codes))
        assert choice.bytes == encoder.inference_bytes()
    if dim == 6:
        assert [choice.config.codes for choice in choices] == ["tree:8x8"]


def test_more_room_is_used(blocks: Graph) -> None:
    narrow, wide = (
        max(one.bytes for one in auto_choices(auto(bytes_per_node=room), blocks)[0])
        for room in (4.0, 12.0)
    )
    assert narrow < wide


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (
            {"bytes_per_node": 1.0, "composer": "sum"},
            "no codes fit into 600 bytes: the smallest take 1,628; allow 2.72 bytes",
        ),
        ({"compression": 3000}, "no codes fit into 102 bytes: .* or a smaller --dim"),
        (
            {"compression": 5, "codes": "tree:4x4"},
            "codes tree:4x4 were asked for; leave one of them out",
        ),
        ({"bytes_per_node": 9.0, "num_codebooks": 4}, "sizes were asked for; leave"),
        ({"compression": 5, "query_dim": 2}, "queries and entropy belong .*; leave"),
    ],
)
def test_budgets_refused(blocks: Graph, asked: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        auto_choices(auto(**asked), blocks)


def test_the_smallest_that_is_named_does_fit(blocks: Graph) -> None:
    (choice,) = auto_choices(auto(bytes_per_node=2.72), blocks)[0]
    assert choice.bytes == 1628
    # Below that there is a product of a few numbers.
    products = auto_choices(auto(bytes_per_node=2.71), blocks)[0]
    assert all(is_ring(one.config) for one in products)
    assert [one.config.rank for one in products] == [1, 2]


# What validation decides


Name = tuple[str | None, int | None]


class Tried(NamedTuple):
    name: Name
    seed: int
    guidance: str | None


def name(config: TrainConfig) -> Name:
    """What tells the choices apart."""
    return config.codes, config.rank


def decide(
    graph: Graph, scores: Callable[[int, int], float], **asked: Any
) -> tuple[Pick, list[Name], list[Tried]]:
    """Pick by scores of choice and seed; with the choices and what was trained."""
    names = [name(one.config) for one in auto_choices(auto(**asked), graph)[0]]
    tried: list[Tried] = []

    def train(config: TrainConfig, seed: int) -> float:
        tried.append(Tried(name(config), seed, config.guidance))
        return scores(names.index(name(config)), seed)

    return pick(auto(**asked), graph, train, lambda _: None), names, tried


@pytest.mark.parametrize("best", [0, 1, 2, 3])
def test_the_best_on_validation_is_picked(blocks: Graph, best: int) -> None:
    found, names, tried = decide(
        blocks, lambda choice, seed: 0.9 if choice == best else 0.3 + 0.1 * seed
    )
    assert name(found.config) == names[best]
    # Every choice with every seed, a single training each; what is picked has both.
    assert [(one.name, one.seed) for one in tried] == [
        (one, seed) for one in names for seed in range(TRIED_SEEDS)
    ]
    assert {one.guidance for one in tried} == {"labelprop"}
    assert found.config.guidance == "diffusion"
    reported = [one["valid_score"] for one in found.tried]
    assert reported == pytest.approx([0.9 if i == best else 0.4 for i in range(4)])


def test_scores_are_means_over_seeds(blocks: Graph) -> None:
    found, names, _ = decide(
        blocks, lambda choice, seed: [0.5, 0.9 * (seed == 2), 0.4, 0.3][choice]
    )
    assert name(found.config) == names[0]


@pytest.mark.parametrize(("gain", "taken"), [(0.5, 0), (0.99, 0), (1.01, 1)])
def test_a_larger_code_must_be_worth_it(many: Graph, gain: float, taken: int) -> None:
    found, names, _ = decide(
        many,
        lambda choice, _: 0.5 + (gain * WORTH if choice == 1 else 0.0),
        compression=20,
    )
    assert name(found.config) == names[taken]


def test_within_a_tenth_size_does_not_count(blocks: Graph) -> None:
    choices, _ = auto_choices(auto(compression=60), blocks)
    sizes = [choice.bytes for choice in choices]
    assert sizes[1] > 1.1 * sizes[0]
    assert sizes[2] < 1.1 * sizes[1]
    found, names, _ = decide(
        blocks,
        lambda choice, _: 0.5 + [0.0, 2.0, 2.1, 0.0][choice] * WORTH,
        compression=60,
    )
    assert name(found.config) == names[2]


def test_a_large_graph_gets_the_smallest_at_once(
    blocks: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kdgraph.training.choices.TRY_BELOW", 100)
    choices, _ = auto_choices(auto(), blocks)
    found = pick(auto(), blocks, never, lambda _: None)
    assert found.config == choices[0].config
    assert "too large to try several" in found.reason


def test_a_slower_graph_is_tried_with_one_seed(
    blocks: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kdgraph.training.auto.QUICK_BELOW", 100)
    _, names, tried = decide(blocks, lambda choice, _: 0.1 * choice)
    assert tried == [Tried(one, 0, "labelprop") for one in names]


def test_a_budget_without_choice_tries_nothing(blocks: Graph) -> None:
    found = pick(auto(bytes_per_node=2.72), blocks, never, lambda _: None)
    assert found.config.codes == "tree:8x8"


class FakeRun:
    """A seed whose test score is best where its validation score is worst."""

    def __init__(self, job: Any, seed: int) -> None:
        self.codes, self.seed = job.config.codes, seed

    def run(self) -> SeedResult:
        valid = 0.9 if self.codes and self.codes.startswith("spectral") else 0.2
        return SeedResult(self.seed, 1 - valid, valid, 0, 1, 1.0, 1, 1, 1, [], [])


def test_the_runner_hands_validation_on(
    blocks: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kdgraph.training.runner.SeedRun", FakeRun)
    runner = Runner(blocks, auto())
    result = runner.run(2)
    assert result.config.codes is not None
    assert result.config.codes.startswith("spectral")
    assert result.pick is runner.pick is not None


def test_labels_of_test_nodes_change_nothing() -> None:
    graph = sbm(num_nodes=120, num_classes=2, seed=0)
    y = graph.y.clone()
    y[graph.test_idx] = 1 - y[graph.test_idx]
    config = auto(dim=32, bytes_per_node=12.0, epochs=3, hidden_dim=8)
    picks, curves = [], []
    for one in (graph, graph, dataclasses.replace(graph, y=y)):
        runner = Runner(one, config)
        curves.append(runner.run(1).seeds[0].losses)
        picks.append(runner.pick)
    assert picks[0] is not None
    assert len(picks[0].tried) > 1
    assert picks[0] == picks[1] == picks[2]
    assert curves[0] == curves[1] == curves[2]


# Where structure does not help


def test_codes_that_a_graph_does_not_have_are_left_out(blocks: Graph) -> None:
    def read(config: TrainConfig) -> None:
        if "spectral:8" not in (config.codes or ""):
            raise ValueError("no trees here")

    found = pick(auto(), blocks, never, read)
    assert found.config.codes == "spectral:8x37"


def test_a_star_learns_codes(make_graph: MakeGraph) -> None:
    runner = Runner(star(make_graph), auto(epochs=2, hidden_dim=8, composer="sum"))
    result = runner.run(1)
    assert result.config.coder == "softmax"
    assert runner.pick is not None
    assert "codes cannot be read off the graph" in runner.pick.reason
    assert "all alike" in runner.pick.reason


def test_a_star_has_places(make_graph: MakeGraph) -> None:
    runner = Runner(star(make_graph), auto(epochs=2, hidden_dim=8))
    assert runner.run(1).config.codes == "place:6x6x6"


def test_a_star_has_no_codes_for_a_budget(make_graph: MakeGraph) -> None:
    sums = auto(epochs=2, bytes_per_node=9.0, composer="sum")
    runner = Runner(star(make_graph), sums)
    with pytest.raises(ValueError, match="no codes fit the graph and the budget: spec"):
        runner.run(1)


def test_codes_that_were_asked_for_are_no_fallback(make_graph: MakeGraph) -> None:
    runner = Runner(star(make_graph), auto(epochs=2, codes="spectral:2x8"))
    with pytest.raises(ValueError, match="all alike"):
        runner.run(1)


def test_without_edges_codes_are_learned(make_graph: MakeGraph) -> None:
    graph = make_graph(adj=sparse.csr_array((40, 40), dtype=np.float32))
    found = pick(auto(), graph, never, lambda _: None)
    assert found.config.coder == "softmax"
    assert found.reason == "no edges to read codes from"
    with pytest.raises(ValueError, match="no edges .*; leave one of them out"):
        auto_choices(auto(compression=5), graph)


# What is written down


def test_a_pick_is_read_as_it_was_written(many: Graph) -> None:
    found, _, _ = decide(many, lambda choice, _: 0.5 + 0.1 * choice)
    assert Pick.from_dict(json.loads(json.dumps(found.as_dict()))) == found
    lines = found.text.splitlines()
    assert [line for line in lines if "tried" in line] == [
        f"auto: tried {one['codes']} ({one['bytes']:,} bytes): validation "
        f"{100 * one['valid_score']:.1f}"
        for one in found.tried
    ]


def test_a_run_that_goes_on_keeps_its_pick(
    make_graph: MakeGraph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, folder = auto(epochs=2, hidden_dim=8), tmp_path / "run"
    first = Runner(make_graph(), config, save=folder).run(1)
    assert first.pick is not None
    written = json.loads((folder / "auto.json").read_text())
    assert Pick.from_dict(written) == first.pick
    monkeypatch.setattr("kdgraph.training.runner.pick", never)
    again = Runner(make_graph(), config, save=folder).run(2)
    assert (again.pick, again.config) == (first.pick, first.config)
    assert again.seeds[0] == first.seeds[0]
    # Whatever would be picked today.
    written["config"]["codes"] = "tree:2x3"
    written["config"] |= {"num_codebooks": 1, "codebook_size": 6, "composer": "sum"}
    (folder / "auto.json").write_text(json.dumps(written))
    other = Runner(make_graph(), config, save=folder).run(3)
    assert other.config.codes == "tree:2x3"
    (folder / "auto.json").write_text("{}")
    with pytest.raises(ValueError, match=r"auto\.json is damaged"):
        Runner(make_graph(), config, save=folder).run(3)


def test_json_says_what_was_picked(make_graph: MakeGraph) -> None:
    result = Runner(make_graph(), auto(epochs=2, hidden_dim=8)).run(1).as_dict()
    assert set(result["auto"]) == {"config", "reason", "tried"}
    assert result["auto"]["config"] == result["config"]
    assert result["coding_seconds"] > 0
    assert result["label_head"]["test_score"]["seeds"]
    plain = TrainConfig(epochs=2, hidden_dim=8)
    learned = Runner(make_graph(), plain).run(1).as_dict()
    assert learned["auto"] is None
    assert learned["coding_seconds"] == 0


def test_other_composers_need_no_trees(blocks: Graph) -> None:
    for name in ("mlp", "recurrent"):
        choices, _ = auto_choices(auto(composer=name), blocks)
        assert {choice.config.composer for choice in choices} == {name}
        assert all("spectral" in (one.config.codes or "") for one in choices)
