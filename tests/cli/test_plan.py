"""``kdgraph plan``: one table, and sentences for sizes that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kdgraph.training.rivals import RIVALS

Kdgraph = Callable[..., Any]


def test_table(kdgraph: Kdgraph) -> None:
    options = ["--num-codebooks", 16, "--codebook-size", 256, "--num-edges", 10]
    done = kdgraph("plan", "--num-nodes", 1_000_000, "--dim", 128, *options)
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == "1,000,000 nodes, 128 channels, float32, Adam"
    full = next(line for line in lines if line.startswith("full table"))
    assert full.split()[2:4] == ["512.0", "MB"]
    fixed = next(line for line in lines if line.startswith("kd fixed D=16 K=256"))
    # 16 bytes of codes a node, 256 x 128 floats
    assert fixed.split()[4:6] == ["16.1", "MB"]
    # 20 columns and weights of 4 bytes, 1,000,001 row starts of 4
    graph = next(line for line in lines if line.startswith("the graph itself"))
    assert graph.endswith("4.0 MB")


def test_papers100m_is_planned_without_memory(kdgraph: Kdgraph) -> None:
    done = kdgraph("plan", "--num-nodes", 111_059_956, "--num-edges", 1_615_685_872)
    assert done.status == 0
    assert "56.9 GB" in done.out
    assert "227.5 GB" in done.out


def test_papers100m_is_trained_below_64_gib(kdgraph: Kdgraph) -> None:
    options = ["--num-edges", 1_615_685_872, "--num-train", 1_207_179]
    done = kdgraph("plan", "--num-nodes", 111_059_956, *options)
    assert (done.status, done.err) == (0, "")
    *_, header, _, prepare, codes, training, scores = done.out.splitlines()
    assert header.split()[-6:] == ["hours,", "1", "machine", "hours,", "4", "machines"]
    # 2 x 1,615,685,872 columns of 4 bytes, row starts and labels of 8 for each node
    assert prepare.split()[1:3] == ["14.7", "GB"]
    assert codes.split()[1:3] == ["1.8", "GB"]
    for line in (prepare, codes, training):
        number, unit = line.split()[3:5]
        assert (float(number) < 68.7, unit) == (True, "GB")
    one, four = (float(hours) for hours in training.split()[-2:])
    assert one / 4 <= four < one / 3
    assert float(scores.split()[-2]) < one


def test_rivals_are_planned_within_a_budget(kdgraph: Kdgraph) -> None:
    done = kdgraph("plan", "--num-nodes", 1_000_000_000, "--compression", 50)
    assert (done.status, done.err) == (0, "")
    named = {line.split()[0]: line.split() for line in done.out.splitlines() if line}
    assert set(RIVALS) <= set(named)
    # 2 x (N + C) floats, and bytes of 128 numbers with a step and an offset of 4
    assert named["lowrank"][1:3] == ["8.0", "GB"]
    assert named["int8"][1:3] == ["136.0", "GB"]
    assert named["int8"][5:7] == named["full"][5:7] == ["2.0", "TB"]


def test_a_rival_that_does_not_fit_says_why(kdgraph: Kdgraph) -> None:
    done = kdgraph("plan", "--num-nodes", 50, "--max-bytes", 300)
    assert done.status == 0
    lines = [line for line in done.out.splitlines() if line.startswith("lowrank")]
    row, reason = lines
    assert row.split() == ["lowrank", "does", "not", "fit", *5 * "-"]
    assert "rank 1 takes 712 bytes" in reason


@pytest.mark.parametrize("dim", [1, 7, 30, 97, 100, 128, 1000])
def test_default_positions_divide_any_width(kdgraph: Kdgraph, dim: int) -> None:
    assert kdgraph("plan", "--num-nodes", 50, "--dim", dim, "--rank", 1).status == 0


def test_alphabet_per_position(kdgraph: Kdgraph) -> None:
    done = kdgraph("plan", "--num-nodes", 9, "--dim", 12, "--codebook-size", "3,5,7")
    assert done.status == 0
    assert "D=3 K=mixed" in done.out


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("--dim", "100", "--num-codebooks", "32"), "take 25 or"),
        (("--dim", "0"), "dim is at least 1"),
        (("--num-nodes", "0"), "num_nodes is at least 1"),
        (("--num-codebooks", "-1"), "num_codebooks is at least 1"),
        (("--codebook-size", "1"), "[2, 65536]"),
        (("--query-dim", "-3"), "query_dim is at least 1"),
        (("--rank", "0"), "rank is at least 1"),
        (("--rank", "99"), "rank of at most"),
        (("--compression", "0"), "compression is above 0"),
        (("--compression", "9", "--max-bytes", "9"), "not allowed with"),
        (("--max-bytes", "0"), "max_bytes is at least 1"),
        (("--num-edges", "-1"), "num_edges is at least 0"),
        (("--num-edges", "9", "--fanout", "15,0"), "fanout is at least 1, got 0"),
        (("--num-edges", "9", "--machines", "0"), "machines is at least 1, got 0"),
        (("--num-edges", "9", "--num-train", "0"), "num_train is at least 1, got 0"),
        (("--num-nodes", "1" + "0" * 30), "64 bits"),
        (("--num-nodes", "many"), "--num-nodes"),
    ],
    ids=lambda one: one if isinstance(one, str) else " ".join(one),
)
def test_sizes_that_do_not_fit(
    kdgraph: Kdgraph, options: tuple[str, ...], part: str
) -> None:
    done = kdgraph("plan", "--num-nodes", "50", *options)
    assert done.status == 2
    assert part in done.sentence
