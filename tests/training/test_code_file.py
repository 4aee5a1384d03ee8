"""Codes in a run folder: whole or refused, and read off the graph once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from kdgraph.artifact import read_artifact
from kdgraph.codes import CodeRecipe, Order
from kdgraph.data import Graph, sbm
from kdgraph.training import Runner, TrainConfig, choices
from kdgraph.training.code_file import CodeFile, drop_codes
from kdgraph.training.loop import Trainer

MakeConfig = Callable[..., TrainConfig]
READ = {"composer": "sum", "num_codebooks": None, "codebook_size": None}
RECIPES = ("tree:3x2+random:3x5", "order:2x2+hash:2x7", "order:2x3", "levels:2x2")
GRAPH = sbm(num_nodes=60, mean_degree=6, seed=1)


def read(recipe: str) -> Order:
    return CodeRecipe.parse(recipe).build(GRAPH.adj, seed=3)


@pytest.mark.parametrize("recipe", RECIPES)
def test_round_trip(tmp_path: Path, recipe: str) -> None:
    order, file = read(recipe), CodeFile(tmp_path / "codes", recipe, 3)
    assert file.load() is None
    file.save(order, 0.1 + 0.2)
    loaded = file.load()
    assert loaded is not None
    found, seconds = loaded
    assert seconds == 0.1 + 0.2
    assert torch.equal(found.codes.packed, order.codes.packed)
    assert torch.equal(found.codes.codes(), order.codes.codes())
    assert found.codes.codebook_sizes == order.codes.codebook_sizes
    assert (found.codes.prefix is None) == (order.codes.prefix is None)
    assert (found.rows is None) == (order.rows is None)
    if order.rows is not None:
        assert found.rows is not None
        assert found.rows.dtype == torch.int64
        assert torch.equal(found.rows, order.rows)
    # It may be trained on, as what was read off the graph may.
    found.codes.packed.zero_()


def test_others_can_read_it(tmp_path: Path) -> None:
    order = read(RECIPES[1])
    CodeFile(tmp_path / "codes", RECIPES[1], 3).save(order, 1.0)
    prefix = order.codes.prefix
    assert prefix is not None
    with safe_open(tmp_path / "codes", "pt") as file:
        assert torch.equal(file.get_tensor("codes"), order.codes.packed)
        assert torch.equal(file.get_tensor("rows"), order.rows)
        assert torch.equal(file.get_tensor("boundaries"), prefix.boundaries)


def test_what_was_read_otherwise_is_not_taken(tmp_path: Path) -> None:
    CodeFile(tmp_path / "codes", RECIPES[0], 3).save(read(RECIPES[0]), 1.0)
    assert CodeFile(tmp_path / "codes", RECIPES[0], 4).load() is None
    assert CodeFile(tmp_path / "codes", RECIPES[1], 3).load() is None


def test_flipped_bits_and_cuts_are_noticed(tmp_path: Path) -> None:
    file = CodeFile(tmp_path / "codes", RECIPES[1], 3)
    file.save(read(RECIPES[1]), 1.0)
    content = file.path.read_bytes()
    flipped = [
        content[:place]
        + bytes([content[place] ^ 1 << place % 8])
        + content[place + 1 :]
        for place in range(0, len(content), 3)
    ]
    cut = [content[:length] for length in range(0, len(content), 97)]
    for damaged in (*flipped, *cut, content + b"\0"):
        file.path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"codes cannot be read \(.*; remove it"):
            file.load()


def test_another_version_is_named(tmp_path: Path) -> None:
    file = CodeFile(tmp_path / "codes", RECIPES[0], 3)
    file.save(read(RECIPES[0]), 1.0)
    newer = file.path.read_bytes().replace(b"kdgraph codes 2", b"kdgraph codes 3")
    file.path.write_bytes(newer)
    with pytest.raises(ValueError, match=r"format is not 'kdgraph codes 2'\); remove"):
        file.load()


def train(
    graph: Graph, config: TrainConfig, save: Path, epochs: int | None = None
) -> Any:
    """Two seeds, or as far as so many epochs of the second."""

    def stop(seed: int, stage: str, trainer: Trainer) -> None:
        if (seed, trainer.progress.epoch) == (1, epochs):
            raise KeyboardInterrupt

    return Runner(graph, config, save=save).run(2, stop)


@pytest.mark.parametrize("codes", ["tree:2x2+random:2x4", "order:2x2+random:2x4"])
def test_codes_are_read_off_the_graph_once(
    graph: Graph,
    make_config: MakeConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    codes: str,
) -> None:
    config = make_config(coder="fixed", codes=codes, **READ)
    whole = train(graph, config, tmp_path / "whole")
    build, read = CodeRecipe.build, []

    def counted(self: CodeRecipe, adj: Any, **options: Any) -> Order:
        read.append(options["seed"])
        return build(self, adj, **options)

    monkeypatch.setattr(CodeRecipe, "build", counted)
    folder = tmp_path / "broken"
    with pytest.raises(KeyboardInterrupt):
        train(graph, config, folder, 2)
    kept = CodeFile(folder / "seed-1.codes.safetensors", codes, 1).load()
    assert kept is not None
    # Also where not even an epoch was finished.
    (folder / "seed-1.checkpoint.pt").unlink()
    again = train(graph, config, folder)
    assert read == [0, 1]
    assert again.seeds[1].coding_seconds == kept[1]
    for one, other in zip(whole.seeds, again.seeds, strict=True):
        assert one.losses == other.losses
        assert one.test_score == other.test_score
    names = [sorted(one.name for one in path.iterdir()) for path in tmp_path.iterdir()]
    assert names[0] == names[1]
    assert not [name for name in names[0] if "codes" in name]


def test_codes_that_training_changed_are_kept(
    graph: Graph, make_config: MakeConfig, tmp_path: Path
) -> None:
    config = make_config(
        coder="refined", codes="random:4x4", epochs=40, lr=0.001, **READ
    )
    train(graph, config, tmp_path / "run")
    kept = []
    for seed in (0, 1):
        artifact = read_artifact(tmp_path / "run" / f"seed-{seed}.kdg.safetensors")
        path = tmp_path / "run" / f"seed-{seed}.codes.safetensors"
        read = CodeRecipe.parse(str(config.codes)).build(graph.adj, seed=seed).codes
        assert path.exists() != torch.equal(artifact.table.packed, read.packed)
        kept.append(path.exists())
    assert any(kept)


def test_killed_before_the_codes_were_removed(
    graph: Graph,
    make_config: MakeConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = make_config(coder="fixed", codes="random:2x4", **READ)

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("kdgraph.training.run_dir.drop_codes", die)
        with pytest.raises(KeyboardInterrupt):
            train(graph, config, tmp_path)
    assert (tmp_path / "seed-0.codes.safetensors").exists()
    train(graph, config, tmp_path)
    assert not list(tmp_path.glob("*.codes.safetensors"))


def test_damage_is_no_reason_to_remove_codes(tmp_path: Path) -> None:
    codes, artifact = tmp_path / "codes", tmp_path / "artifact"
    drop_codes(codes, artifact)
    CodeFile(codes, RECIPES[0], 3).save(read(RECIPES[0]), 1.0)
    for content in (b"", b"no artifact"):
        artifact.write_bytes(content)
        drop_codes(codes, artifact)
        assert codes.exists()


def test_codes_of_a_large_graph_are_kept_before_auto_has_picked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choices, "TRY_BELOW", 0)
    config = TrainConfig(coder="auto", dim=8, epochs=2)
    built: list[str] = []
    build = CodeRecipe.build

    def watched(self: CodeRecipe, *args: Any, **options: Any) -> Order:
        built.append(str(self))
        return build(self, *args, **options)

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(CodeRecipe, "build", watched)
    with pytest.raises(KeyboardInterrupt):
        Runner(GRAPH, config, save=tmp_path / "run").run(1, on_pick=stop)
    first = list(built)
    assert first
    assert (tmp_path / "run" / "seed-0.codes.safetensors").exists()
    Runner(GRAPH, config, save=tmp_path / "run").run(1)
    # At most what the folder held last was other codes than those that were picked.
    assert built[len(first) :] in ([], first[:1])
