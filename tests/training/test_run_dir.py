"""RunDir: whose folder it is, and what is left in it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from kdgraph.training import TrainConfig
from kdgraph.training.run_dir import RunDir, finished_seeds
from kdgraph.training.seed_result import SeedResult

CONFIG = TrainConfig(epochs=3, codebook_size=(3, 5))
WHO = {"config": CONFIG.as_dict(), "graph": {"name": "g"}}
RESULT = SeedResult(
    seed=0,
    test_score=0.1 + 0.2,
    valid_score=0.5,
    best_epoch=1,
    epochs=3,
    seconds=0.25,
    inference_bytes=1,
    training_bytes=2,
    peak_rss_bytes=3,
    losses=[0.1, 1 / 3, 1e-300],
    valid_scores=[0.5, 0.5, 0.5],
)


def test_result_survives_to_the_bit(tmp_path: Path) -> None:
    with RunDir(tmp_path / "run", WHO) as run:
        assert run.result(0) is None
        run.save(0, {"a": 1})
        assert run.load(0) == {"a": 1}
        run.finish(RESULT)
        assert run.result(0) == RESULT
        assert run.load(0) is None
        run.save(1, {"a": 2})
    assert finished_seeds(tmp_path / "run") == [0]
    with RunDir(tmp_path / "run", WHO) as run:
        assert run.result(0) == RESULT
        assert run.load(1) == {"a": 2}


def test_run_that_left_nothing_leaves_no_folder(tmp_path: Path) -> None:
    with RunDir(tmp_path / "a" / "b" / "run", WHO):
        assert (tmp_path / "a" / "b" / "run" / "run.json").exists()
    assert not list(tmp_path.iterdir())
    (tmp_path / "mine").mkdir()
    with RunDir(tmp_path / "mine", WHO):
        pass
    assert not list((tmp_path / "mine").iterdir())


def test_checkpoint_of_a_finished_seed_is_stale(tmp_path: Path) -> None:
    with RunDir(tmp_path, WHO) as run:
        run.finish(RESULT)
        run.save(0, {"killed": "before the removal"})
        run.save(1, {"under": "way"})
    with RunDir(tmp_path, WHO) as run:
        assert run.load(0) is None
        assert run.load(1) == {"under": "way"}


def test_killed_while_the_identity_was_written(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    (tmp_path / ".run.json.tmp").write_text('{"config"')
    with RunDir(tmp_path, WHO) as run:
        run.finish(RESULT)
    assert not (tmp_path / ".run.json.tmp").exists()


def test_difference_names_every_key(tmp_path: Path) -> None:
    with RunDir(tmp_path, WHO) as run:
        run.finish(RESULT)
    config = CONFIG.replace(epochs=4, codebook_size=(3, 6))
    other = {"config": config.as_dict(), "graph": {"name": "g", "n": 1}}
    with pytest.raises(ValueError, match="another run") as caught:
        RunDir(tmp_path, other)
    text = str(caught.value)
    assert "config.epochs: 3 there, 4 here" in text
    assert "config.codebook_size: [3, 5] there, [3, 6] here" in text
    assert "graph.n: None there, 1 here" in text
    assert "graph.name" not in text
    with RunDir(tmp_path, WHO) as run:
        assert run.result(0) == RESULT


def test_one_at_a_time(tmp_path: Path) -> None:
    with RunDir(tmp_path, WHO) as run:
        run.finish(RESULT)
        with pytest.raises(ValueError, match="in use by another process"):
            RunDir(tmp_path, WHO)
    with RunDir(tmp_path, WHO):
        pass


def test_failure_to_begin_releases_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, value: object) -> None:
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr("kdgraph.training.run_dir.write_json", fail)
        with pytest.raises(OSError, match="No space"):
            RunDir(tmp_path / "run", WHO)
    assert not list(tmp_path.iterdir())


def test_seed_result_must_be_whole(tmp_path: Path) -> None:
    values = dataclasses.asdict(RESULT)
    path = tmp_path / "seed-0.json"
    for wrong in ({"test_score": "high"}, {"valid_score": None}, {"epochs": ...}):
        kept = {key: one for key, one in (values | wrong).items() if one is not ...}
        path.write_text(json.dumps(kept))
        with pytest.raises(ValueError, match="remove it to train this seed again"):
            SeedResult.read(path)


def rewrite(folder: Path, config: dict[str, object]) -> None:
    """As a version with this configuration would have written it."""
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"config": config}))


def test_a_folder_that_lacks_a_key_is_the_same_run(tmp_path: Path) -> None:
    with RunDir(tmp_path, WHO) as run:
        run.finish(RESULT)
    older = CONFIG.as_dict()
    for key in ("precision", "guidance_mix", "fanout"):
        del older[key]
    rewrite(tmp_path, older)
    with RunDir(tmp_path, WHO) as run:
        assert run.result(0) == RESULT
    other = WHO | {"config": CONFIG.replace(precision="bfloat16").as_dict()}
    with pytest.raises(ValueError, match="precision: 'float32' there, 'bfloat16' here"):
        RunDir(tmp_path, other)


def test_a_key_of_a_newer_version_is_named_and_ignored(tmp_path: Path) -> None:
    with RunDir(tmp_path, WHO) as run:
        run.finish(RESULT)
    rewrite(tmp_path, CONFIG.as_dict() | {"magic": 3, "aura": None})
    with (
        pytest.warns(UserWarning, match="TrainConfig .* ignores: aura, magic$"),
        RunDir(tmp_path, WHO) as run,
    ):
        assert run.result(0) == RESULT
    path = tmp_path / "seed-0.json"
    path.write_text(json.dumps(dataclasses.asdict(RESULT) | {"surplus": 1}))
    with pytest.warns(UserWarning, match="SeedResult .* ignores: surplus$"):
        assert SeedResult.read(path) == RESULT
