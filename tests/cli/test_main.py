"""The command line as a whole: help, versions, errors, pipes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdgraph import __version__
from kdgraph.cli import main
from kdgraph.cli.main import BROKEN_PIPE

ROOT = Path(__file__).parents[2]
COMMANDS = ("train", "prepare", "export", "inspect", "plan")

Kdgraph = Callable[..., Any]


def test_version(kdgraph: Kdgraph) -> None:
    done = kdgraph("--version")
    assert (done.status, done.out) == (0, f"kdgraph {__version__}\n")


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help_is_fit_to_read(
    kdgraph: Kdgraph, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = kdgraph(*command, "--help")
    assert done.status == 0
    assert "None" not in done.out
    assert "(default: False)" not in done.out
    assert "[]" not in done.out
    assert max(len(line) for line in done.out.splitlines()) <= 80
    # An option without a text is followed by the next option.
    body = done.out.split("options:")[-1].splitlines()
    names = [line for line in body if line.startswith("  -")]
    for name in names:
        following = body[body.index(name) + 1 :]
        assert "  " in name.strip() or following[0].startswith(" " * 20), name


def test_help_says_what_the_recipe_decides(kdgraph: Kdgraph) -> None:
    text = kdgraph("train", "--help").out
    assert text.count("by") >= 9
    assert "(default: kd)" in text


@pytest.mark.parametrize(
    "arguments",
    [(), ("fly",), ("train", "--fly"), ("plan",), ("export", "x"), ("plan", "-n")],
    ids=" ".join,
)
def test_usage_errors_are_one_sentence(
    kdgraph: Kdgraph, arguments: tuple[str, ...]
) -> None:
    done = kdgraph(*arguments)
    assert done.status == 2
    assert done.sentence.startswith("kdgraph")
    assert "--help" in done.sentence


def test_unexpected_errors_keep_their_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr("kdgraph.cli.plan.plan", fail)
    with pytest.raises(RuntimeError, match="a bug of ours"):
        main(["plan", "--num-nodes", "10"])


def run(arguments: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kdgraph", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        timeout=120,
        check=False,
        **options,
    )


@pytest.mark.parametrize(
    ("arguments", "statuses"),
    [
        (["plan", "--num-nodes", "9"], {BROKEN_PIPE}),
        # argparse itself looks away where a help text cannot be written.
        (["train", "--help"], {0, BROKEN_PIPE}),
    ],
    ids=["table", "help"],
)
def test_nobody_reads_the_output(arguments: list[str], statuses: set[int]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = run(arguments, stdout=writer)
    finally:
        os.close(writer)
    assert done.stderr == ""
    assert done.returncode in statuses


def test_json_is_written_though_nobody_reads_the_table(
    tmp_path: Path, npz: Path
) -> None:
    out = tmp_path / "out.json"
    reader, writer = os.pipe()
    os.close(reader)
    arguments = ["train", "--dataset", str(npz), "--method", "labelprop", "--quiet"]
    try:
        done = run([*arguments, "--json", str(out)], stdout=writer)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (BROKEN_PIPE, "")
    assert out.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_output_that_cannot_be_written() -> None:
    with Path("/dev/full").open("w") as full:
        done = run(["plan", "--num-nodes", "9"], stdout=full)
    assert done.returncode != 0
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


def test_terminal_that_lacks_a_character(npz: Path) -> None:
    arguments = ["train", "--dataset", str(npz), "--method", "lowrank", "--seeds", "2"]
    done = run(
        [*arguments, "--epochs", "1", "--quiet"],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONIOENCODING": "ascii", "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert r"\xb1" in done.stdout
