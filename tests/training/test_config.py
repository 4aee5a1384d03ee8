"""TrainConfig: what is refused, and the way through JSON."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import pytest

from kdgraph.training import TrainConfig
from kdgraph.training.stored import added, as_stored


def test_round_trip_through_json() -> None:
    config = TrainConfig(codebook_size=(3, 5, 7), num_codebooks=3, epochs=7, lr=0.1)
    assert TrainConfig.from_dict(json.loads(json.dumps(config.as_dict()))) == config


def test_unknown_keys_are_named() -> None:
    with pytest.warns(UserWarning, match="stored TrainConfig .* ignores: epoch$"):
        config = TrainConfig.from_dict({"epoch": 3, "dim": 7})
    assert config == TrainConfig(dim=7)


def test_keys_that_were_added_mean_what_older_files_mean() -> None:
    """And not what is the default today."""

    @dataclass(frozen=True)
    class Newer(TrainConfig):
        every: int = added(default=5, older=1)

    older = json.loads(json.dumps(TrainConfig(dim=7).as_dict()))
    assert Newer.from_dict(older) == Newer(dim=7, every=1)
    assert as_stored(Newer, older)["every"] == 1
    assert Newer.from_dict(older | {"every": 5}) == Newer(dim=7)


@pytest.mark.parametrize(
    "changes",
    [
        {"dim": 10**30},
        {"rank": 1 << 62},
        {"num_layers": 10**29},
        {"fanout": (5, 10**30)},
        {"method": "magic"},
        {"coder": "magic"},
        {"composer": "magic"},
        {"guidance": "magic"},
        {"model": "magic"},
        {"dim": 0},
        {"epochs": 0},
        {"rank": 0},
        {"query_dim": -1},
        {"num_layers": 0},
        {"lr": 0.0},
        {"lr": math.nan},
        {"lr": math.inf},
        {"weight_decay": math.nan},
        {"weight_decay": math.inf},
        {"dropout": 1.0},
        {"input_dropout": -0.1},
        {"code_dropout": math.nan},
        {"guidance_mix": 1.1},
        {"guidance_weight": math.inf},
        {"guidance": "online", "method": "full"},
        {"entropy_weight": 0.1, "coder": "fixed"},
        {"entropy_weight": 0.1, "method": "lowrank"},
    ],
    ids=str,
)
def test_values_out_of_range(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        TrainConfig(**changes)
    with pytest.raises(ValueError, match=next(iter(changes))):
        TrainConfig().replace(**changes)
