"""At once or in mini-batches: by what is asked for, and by the memory there is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from kdgraph.data import Graph
from kdgraph.training import Runner, TrainConfig, choose_batching, resolve_config
from kdgraph.training.choose_batching import SHARE, describe_batching, fits_at_once
from kdgraph.training.full_batch_bytes import full_batch_bytes

MakeConfig = Callable[..., TrainConfig]
choose = choose_batching.choose_batching


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], None]:
    """Let the machine have so many bytes."""

    def set_limit(limit: int | None) -> None:
        monkeypatch.setattr(choose_batching, "memory_limit", lambda: limit)

    return set_limit


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes, as far as a choice is concerned."""

    class Two:
        size = 2

    monkeypatch.setattr(choose_batching, "Ranks", Two)


def test_memory_decides_where_nothing_is_asked_for(
    graph: Graph, make_config: MakeConfig, memory: Callable[[int | None], None]
) -> None:
    config = make_config(coder="fixed")
    needed = full_batch_bytes(config, graph)
    enough = int(needed / SHARE) + 1
    for limit, wanted in ((None, "full"), (enough, "full"), (enough - 2, "neighbor")):
        memory(limit)
        assert fits_at_once(config, graph) == (wanted == "full")
        found = choose(config, graph)
        assert found.batching == wanted
        # Once chosen it stays, whatever the memory.
        memory(1 if wanted == "full" else None)
        assert choose(found, graph) == found


def test_what_is_left_open_is_filled_in(
    graph: Graph, make_config: MakeConfig, memory: Callable[[int | None], None]
) -> None:
    memory(1)
    found = choose(make_config(num_layers=2), graph)
    # 1,024, but there are 12 training nodes.
    assert (found.batch_size, found.fanout) == (12, (15, 10))
    found = choose(make_config(num_layers=5, batch_size=4), graph)
    assert (found.batch_size, found.fanout) == (4, (15, 10, 5, 5, 5))
    found = choose(make_config(num_layers=1, fanout=(7,)), graph)
    assert (found.batch_size, found.fanout) == (12, (7,))
    memory(None)
    found = choose(make_config(), graph)
    assert (found.batch_size, found.fanout) == (None, None)


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({"batch_size": 4}, "neighbor"),
        ({"fanout": (3, 3)}, "neighbor"),
        ({"batching": "neighbor"}, "neighbor"),
        ({"batching": "full"}, "full"),
        ({"method": "labelprop", "batch_size": 4}, "full"),
        ({"coder": "fixed", "codes": "tree:4x2", "batching": "cluster"}, "cluster"),
    ],
    ids=str,
)
def test_what_is_asked_for_goes_before_memory(
    graph: Graph,
    make_config: MakeConfig,
    memory: Callable[[int | None], None],
    asked: dict[str, Any],
    wanted: str,
) -> None:
    for limit in (1, None):
        memory(limit)
        assert choose(make_config(**asked), graph).batching == wanted


def test_unions_of_clusters_have_a_size(graph: Graph, make_config: MakeConfig) -> None:
    config = make_config(coder="fixed", codes="tree:4x2", batching="cluster")
    assert choose(config, graph).batch_size == 40
    assert choose(config.replace(batch_size=99), graph).batch_size == 99
    assert choose(config, graph).fanout is None


def test_recipes_follow_the_batching(
    make_graph: Callable[..., Graph], memory: Callable[[int | None], None]
) -> None:
    """Layers by the fan-out, and another normalisation than that of a batch."""
    memory(None)
    graph = make_graph()
    found = resolve_config(TrainConfig(fanout=(3, 2, 2, 2)), graph)
    assert (found.num_layers, found.fanout) == (4, (3, 2, 2, 2))
    many = make_graph(train_idx=torch.zeros(5000, dtype=torch.int64))
    assert resolve_config(TrainConfig(), many).norm == "batch_norm"
    assert resolve_config(TrainConfig(batch_size=9), many).norm == "layer_norm"
    asked = TrainConfig(batch_size=9, norm="batch_norm")
    assert resolve_config(asked, many).norm == "batch_norm"


def test_what_memory_asks_for_counts_what_is_trained(
    graph: Graph, memory: Callable[[int | None], None]
) -> None:
    """Between what codes and what a table take."""
    codes, table = (
        full_batch_bytes(resolve_config(config, graph), graph)
        for config in (TrainConfig(coder="fixed"), TrainConfig(method="full"))
    )
    memory(int((codes + table) / 2 / SHARE))
    assert resolve_config(TrainConfig(coder="fixed"), graph).batching == "full"
    assert resolve_config(TrainConfig(method="full"), graph).batching == "neighbor"


BAD: list[tuple[dict[str, Any], str]] = [
    ({"batch_size": 13}, "at most the number of training nodes, 12, got 13"),
    ({"batch_size": 0}, "batch_size is at least 1, got 0"),
    ({"fanout": ()}, "fanout is a number for each layer, got none"),
    ({"fanout": (0, 5)}, "at least 1 neighbour for each layer, or -1 .* got 0 in 0,5"),
    ({"fanout": (5, -2)}, "got -2 in 5,-2"),
    ({"fanout": (5, 5, 5)}, "number for each of 2 layers, got 5,5,5"),
    ({"batching": "full", "batch_size": 4}, "batch_size is for mini-batches, got"),
    ({"batching": "full", "fanout": (4, 4)}, "fanout is for mini-batches, got"),
    ({"batching": "cluster", "fanout": (4, 4)}, "fanout is for batching 'neighbor'"),
    (
        {"batching": "cluster"},
        "codes that are read off .* got method 'kd' and coder 's",
    ),
    ({"batching": "cluster", "method": "full"}, "got method 'full' without such codes"),
    ({"batching": "cluster", "coder": "fixed"}, "and coder 'fixed' without such codes"),
    ({"batching": "halves"}, "unknown batching 'halves': expected one of full, neighb"),
    ({"precision": "float16"}, "unknown precision 'float16'"),
]


@pytest.mark.parametrize(("asked", "sentence"), BAD, ids=[str(one) for one, _ in BAD])
def test_what_does_not_go_together_is_a_sentence(
    graph: Graph, make_config: MakeConfig, asked: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        Runner(graph, make_config(**asked))


@pytest.mark.usefixtures("together")
class TestTogether:
    """Several processes train in mini-batches of neighbours."""

    def test_whatever_the_memory(
        self,
        graph: Graph,
        make_config: MakeConfig,
        memory: Callable[[int | None], None],
    ) -> None:
        memory(None)
        assert choose(make_config(), graph).batching == "neighbor"
        assert choose(make_config(method="labelprop"), graph).batching == "full"

    @pytest.mark.parametrize("batching", ["full", "cluster"])
    def test_others_are_refused(
        self, graph: Graph, make_config: MakeConfig, batching: str
    ) -> None:
        config = make_config(coder="fixed", codes="tree:4x2", batching=batching)
        with pytest.raises(ValueError, match=f"processes train in .* '{batching}'; le"):
            choose(config, graph)


def test_the_choice_is_told_in_a_line(
    graph: Graph, make_config: MakeConfig, memory: Callable[[int | None], None]
) -> None:
    memory(3 * 10**9)
    config = make_config(coder="fixed", codes="tree:4x2")
    told = "a full batch would take about 0.0 GB of the 3.0 GB here"
    for changes, line in (
        ({}, "full batch: takes about 0.0 GB of the 3.0 GB here"),
        (
            {"batch_size": 5, "fanout": (4, -1)},
            f"mini-batches of 5 training nodes, fan-out 4,-1: {told}",
        ),
        (
            {"batching": "cluster", "batch_size": 2000},
            f"mini-batches of clusters of about 2,000 nodes together: {told}",
        ),
    ):
        chosen = choose(config.replace(**changes), graph)
        assert describe_batching(chosen, graph) == line
    memory(None)
    assert describe_batching(choose(config, graph), graph).endswith(
        "about 0.0 GB of the 4.3 GB assumed, as this system does not tell"
    )
