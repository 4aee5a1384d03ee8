"""The command line as a whole: help, versions, errors, pipes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kdgraph import __version__
from kdgraph.cli import main
from kdgraph.cli import plan as kdgraph_plan
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


def library_refuses() -> None:
    torch.zeros(3).view(2, 2)


def library_raises() -> None:
    np.zeros((2, 3)) @ np.zeros((2, 3))


def slip() -> None:
    places: list[int] = []
    places[1] += 1


def text_of_a_library() -> None:
    json.loads("{")


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (library_raises, ValueError),
        (text_of_a_library, ValueError),
        (lambda: np.arange(3)[7], IndexError),
        (lambda: torch.arange("3"), TypeError),
        (library_refuses, RuntimeError),
        (slip, IndexError),
        (lambda: int("x"), ValueError),
    ],
)
def test_errors_of_libraries_are_not_the_users(
    monkeypatch: pytest.MonkeyPatch, fault: Callable[[], object], kind: type[Exception]
) -> None:
    """Wherever they come from: also where the frame that fails is one of ours."""
    ours = types.CodeType.replace(fault.__code__, co_filename=kdgraph_plan.__file__)
    monkeypatch.setattr(
        "kdgraph.cli.plan.plan", lambda *_, **__: types.FunctionType(ours, globals())()
    )
    with pytest.raises(kind) as caught:
        main(["plan", "--num-nodes", "10"])
    assert "Please report it" in caught.value.__notes__[0]


def test_a_fault_shows_its_traceback_and_asks_for_a_report(tmp_path: Path) -> None:
    script = tmp_path / "fault.py"
    script.write_text(
        "import numpy, kdgraph.cli.plan as plan\n"
        "plan.plan = lambda *_, **__: numpy.zeros(3).reshape(2, 2)\n"
        "from kdgraph.cli import main\n"
        "main(['plan', '--num-nodes', '10'])\n"
    )
    done = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert "cannot reshape array" in done.stderr
    assert done.stderr.endswith("with the command and the lines above.\n")


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
