"""Two processes that ``torchrun`` starts: the curve of one, and one that dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed

from kdgraph import PackedEmbedding
from kdgraph.cli.main import main
from kdgraph.cli.parser import USER_ERROR
from kdgraph.cli.together import is_first, is_parted, together
from kdgraph.training.checkpoint import load_checkpoint

pytestmark = pytest.mark.skipif(
    not distributed.is_available() or not distributed.is_gloo_available(),
    reason="torch was built without gloo",
)

Kdgraph = Callable[..., Any]
SMALL = (
    *("--dim", 8, "--hidden-dim", 8, "--batch-size", 5, "--fanout", "3,2"),
    *("--num-codebooks", 4, "--codebook-size", 3, "--quiet"),
)


def start(*arguments: object) -> subprocess.Popen[str]:
    """Two processes of a command, on a port that is free."""
    job = ["torch.distributed.run", "--standalone", "--nproc-per-node", 2]
    command = [*job, "-m", "kdgraph", "train", *SMALL, *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=Path(__file__).parents[2],
    )


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Its output and its errors; killed with its children where it hangs."""
    try:
        return process.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        for child in children(process):
            os.kill(child, signal.SIGKILL)
        process.kill()
        process.communicate()
        raise


def children(process: subprocess.Popen[str]) -> list[int]:
    """The processes that it started."""
    tasks = Path(f"/proc/{process.pid}/task").iterdir()
    told = [(task / "children").read_text() for task in tasks]
    return [int(child) for text in told for child in text.split()]


def sentences(errors: str) -> list[str]:
    """What kdgraph itself said, without a trace of its own."""
    assert 'kdgraph/cli/main.py"' not in errors, errors
    return [line for line in errors.splitlines() if line.startswith("kdgraph:")]


def assert_same_curve(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Losses within rounding, and scores of every epoch."""
    assert one["losses"] == pytest.approx(other["losses"], rel=1e-5)
    assert one["valid_scores"] == pytest.approx(other["valid_scores"], rel=1e-5)
    for name in ("valid_score", "test_score", "best_epoch", "epochs"):
        assert one[name] == pytest.approx(other[name], rel=1e-5)


DROPOUT = ("--dropout", 0.5, "--input-dropout", 0.2)
TOGETHER: dict[str, tuple[Any, ...]] = {
    # Codes, which nobody sends, and tables, of which rows are.
    "fixed": (
        *("--coder", "fixed", "--code-dropout", 0.3, *DROPOUT, "--epochs", 3),
        *("--guidance", "labelprop", "--compare", "full", "labelprop"),
    ),
    # Epochs 3 and 5 re-assign codes.
    "refined": (
        *("--coder", "refined", "--composer", "sum", "--refine-every", 10),
        *("--code-dropout", 0.2, "--dropout", 0.5, "--epochs", 6, "--model", "sage"),
    ),
}


@pytest.mark.parametrize("name", TOGETHER)
def test_two_processes_follow_the_curve_of_one(
    kdgraph: Kdgraph, npz: Path, tmp_path: Path, strict_json: Any, name: str
) -> None:
    arguments = ["--dataset", npz, *TOGETHER[name]]
    both = start(
        *arguments, "--save", tmp_path / "two", "--json", tmp_path / "two.json"
    )
    alone = kdgraph(
        *("train", *SMALL, *arguments, "--save", tmp_path / "one"),
        *("--json", tmp_path / "one.json"),
    )
    assert alone.status == 0, alone.err
    out, errors = finish(both)
    assert both.returncode == 0, errors
    assert not errors
    # One speaks for both, and what they exchanged comes after the table.
    folders = ["", "compare-full"] if name == "fixed" else [""]
    count = len(alone.out.splitlines())
    assert len(out.splitlines()) == count + len(folders)
    for line in out.splitlines()[count:]:
        assert "2 processes, each gave the others" in line
    for folder in folders:
        one, two = (
            strict_json(tmp_path / name / folder / "seed-0.json")
            for name in ("one", "two")
        )
        assert_same_curve(two, one)
        assert (one["processes"], two["processes"]) == (1, 2)
        assert two["bytes_per_step"] > one["bytes_per_step"] == 0
    one, two = (
        PackedEmbedding.load(tmp_path / name / "seed-0.kdg.safetensors")
        for name in ("one", "two")
    )
    assert torch.equal(one.codes(), two.codes())
    torch.testing.assert_close(two(), one(), rtol=1e-4, atol=1e-5)
    names = [{path.name for path in (tmp_path / n).iterdir()} for n in ("one", "two")]
    assert names[0] == names[1]
    result = strict_json(tmp_path / "two.json")
    assert result["processes"] == 2
    assert len(result["compare"]) == (2 if name == "fixed" else 0)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_a_process_that_dies_ends_the_job_which_goes_on(
    npz: Path, tmp_path: Path, strict_json: Any
) -> None:
    run = tmp_path / "run"
    arguments = ["--dataset", npz, "--coder", "fixed", "--checkpoint-seconds", 0]
    arguments += ["--epochs", 40, "--patience", 40, "--save", run]
    process = start(*arguments)
    checkpoint = run / "seed-0.checkpoint.pt"
    deadline = time.monotonic() + 120
    while not checkpoint.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    (second,) = [
        child
        for child in children(process)
        if b"RANK=1" in Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
    ]
    os.kill(second, signal.SIGKILL)
    out, errors = finish(process)
    assert process.returncode not in (0, None)
    assert not out
    assert len(sentences(errors)) <= 1
    state = load_checkpoint(checkpoint)
    assert state is not None
    progress = state["trainer"]["progress"]
    assert progress["epoch"] < 40
    again = start(*arguments)
    out, errors = finish(again)
    assert again.returncode == 0, errors
    assert "kd fixed" in out
    result = strict_json(run / "seed-0.json")
    assert result["epochs"] == 40
    assert result["losses"][: progress["epoch"]] == progress["losses"]
    assert not checkpoint.exists()


@pytest.mark.slow
def test_what_is_wrong_is_said_once(npz: Path, tmp_path: Path) -> None:
    """By the first process, also where it alone looks, as into the run folder."""
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").touch()
    for options, sentence in (
        (("--save", tmp_path / "thesis"), "is not empty and holds no run"),
        (("--batching", "full"), "batch_size is for mini-batches, got batching 'full'"),
    ):
        process = start("--dataset", npz, "--epochs", 2, *options)
        out, errors = finish(process)
        assert process.returncode not in (0, None)
        assert not out
        (said,) = sentences(errors)
        assert sentence in said


class TestAlone:
    """Without ``torchrun``, or in a job of one."""

    def test_nothing_is_joined(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for size in (None, "1"):
            monkeypatch.delenv("WORLD_SIZE", raising=False)
            if size is not None:
                monkeypatch.setenv("WORLD_SIZE", size)
            with together(torch.device("cpu")) as device:
                assert device == torch.device("cpu")
                assert not distributed.is_initialized()

    def test_who_speaks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WORLD_SIZE", "13")
        monkeypatch.delenv("RANK", raising=False)
        assert is_first()
        for rank, first in (("0", True), ("1", False), ("12", False)):
            monkeypatch.setenv("RANK", rank)
            assert is_first() == first

    @pytest.mark.parametrize(
        ("rank", "size", "says"),
        [
            ("1", None, "RANK=1 but no WORLD_SIZE; set both"),
            (None, "2", "WORLD_SIZE=2 but no RANK; set both"),
            ("2", "2", "from 0 to below WORLD_SIZE, got RANK=2 and WORLD_SIZE=2"),
            ("0", "two", "got RANK=0 and WORLD_SIZE=two"),
            ("-1", "2", "got RANK=-1 and WORLD_SIZE=2"),
        ],
    )
    def test_half_a_job_is_refused(
        self,
        monkeypatch: pytest.MonkeyPatch,
        rank: str | None,
        size: str | None,
        says: str,
    ) -> None:
        for name, value in (("RANK", rank), ("WORLD_SIZE", size)):
            monkeypatch.delenv(name, raising=False)
            if value is not None:
                monkeypatch.setenv(name, value)
        with pytest.raises(ValueError, match=says), together(torch.device("cpu")):
            pass

    def test_who_runs_half_a_job_is_told(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("WORLD_SIZE", raising=False)
        monkeypatch.setenv("RANK", "1")
        assert main(["train", "--epochs", "1"]) == USER_ERROR
        assert "RANK=1 but no WORLD_SIZE" in capsys.readouterr().err

    def test_errors_of_others_are_known(self) -> None:
        assert is_parted(distributed.DistBackendError("NCCL error"))
        assert is_parted(RuntimeError("[gloo/x.cc:1] Connection closed by peer [::1]"))
        assert not is_parted(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
