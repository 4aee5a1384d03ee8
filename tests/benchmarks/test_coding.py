"""The generated graph is what it says, and coding it is described."""

import json
import subprocess
import sys

import numpy as np
import pytest
from scipy import sparse

from benchmarks.coding.code import code
from benchmarks.coding.generate import generate


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("graph")
    generate(made, num_nodes=3000, num_edges=12_000, seed=0)
    return made


def read(folder) -> sparse.csr_array:
    indptr, indices = np.load(folder / "indptr.npy"), np.load(folder / "indices.npy")
    assert indptr.dtype == indices.dtype == np.int32
    return sparse.csr_array((np.ones(len(indices)), indices, indptr), (3000, 3000))


def test_the_graph_is_symmetric_without_loops_and_as_large_as_asked(folder):
    adj = read(folder)
    assert (adj != adj.T).nnz == 0
    assert not adj.diagonal().any()
    assert adj.has_canonical_format
    assert adj.data.max() == 1
    assert 24_000 <= adj.nnz <= 24_100


def test_degrees_fall_as_a_power_law(folder):
    degree = np.diff(read(folder).indptr)
    assert degree.max() > 10 * degree.mean()
    assert np.median(degree) < degree.mean()


def test_the_seed_decides(folder, tmp_path):
    for name, seed in (("same", 0), ("other", 1)):
        (tmp_path / name).mkdir()
        generate(tmp_path / name, num_nodes=3000, num_edges=12_000, seed=seed)
    assert (read(folder) != read(tmp_path / "same")).nnz == 0
    assert (read(folder) != read(tmp_path / "other")).nnz > 20_000


def test_neighbours_share_codes_more_often_than_strangers(folder):
    options = {"num_codebooks": 2, "codebook_size": 16, "memory": 2 << 20, "seed": 0}
    found = code(folder, options, quiet=True)
    agreement = found["agreement"]
    assert agreement["neighbours"][0] > 2 * agreement["strangers"][0]
    assert found["num_nodes"] == 3000
    assert found["code_bytes"] == 3000
    assert found["seconds"]["factorise"] < found["seconds"]["code"]
    assert 0 < found["graph_bytes"] < found["peak_rss_bytes"]


@pytest.mark.slow  # three processes, each of which imports torch
def test_the_command_writes_a_record(tmp_path):
    output = tmp_path / "result.json"
    command = "-m benchmarks.coding run --num-nodes=2000 --num-edges=5000 --quiet"
    options = "--codebook-size=16 --num-codebooks=2 --method=prone"
    places = [f"--output={output}", f"--scratch={tmp_path}"]
    subprocess.run(
        [sys.executable, *command.split(), *options.split(), *places], check=True
    )
    record = json.loads(output.read_text())
    assert record["options"]["method"] == "prone"
    assert len(record["result"]["perplexity"]) == 2
    assert 1 < record["result"]["perplexity"][0] <= 16
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
