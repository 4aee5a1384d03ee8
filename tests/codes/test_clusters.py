"""Clusters of nodes whose codes begin alike."""

import pytest
import torch

from kdgraph.codes import (
    CodeTable,
    Prefix,
    clusters,
    clusters_of,
    partition_graph,
    random_codes,
)
from kdgraph.data import sbm

SIZES = (3, 5, 2)
TABLE = random_codes(60, 3, SIZES, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("chunk", [7, 1 << 20])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_number_in_mixed_radix(monkeypatch, count, chunk):
    monkeypatch.setattr(clusters, "CHUNK_ROWS", chunk)
    want = []
    for codes in TABLE.codes().tolist():
        number = 0
        for code, size in zip(codes[:count], SIZES, strict=False):
            number = number * size + code
        want.append(number)
    assert clusters_of(TABLE, count).tolist() == want


def test_levels_and_digits_of_a_partition_give_its_clusters():
    graph = sbm(num_nodes=200, mean_degree=6, seed=0)
    partition = partition_graph(graph.adj, (3, 2))
    leaves = torch.from_numpy(partition.leaves())
    assert torch.equal(clusters_of(partition.digits(), 2), leaves)
    assert torch.equal(clusters_of(partition.digits()), leaves // 2)
    _, found = clusters_of(partition.levels(), 2).unique(return_inverse=True)
    assert torch.equal(found, leaves)


def test_a_prefix_tells_clusters():
    prefix = Prefix(torch.tensor([0, 20, 20, 45, 60]), (2, 2), "digits")
    table = TABLE.prefixed(prefix)
    assert clusters_of(table, 2).bincount(minlength=4).tolist() == [20, 0, 25, 15]
    assert torch.equal(clusters_of(table, 4), clusters_of(table.explicit(), 4))


def test_bad_input():
    for wrong in (0, -1, 4):
        with pytest.raises(ValueError, match=f"from 1 to the 3 .* got {wrong}"):
            clusters_of(TABLE, wrong)
    for wrong in (True, 1.5, "1"):
        with pytest.raises(TypeError, match="num_positions as an integer"):
            clusters_of(TABLE, wrong)
    with pytest.raises(TypeError, match="a CodeTable, got Tensor; make one"):
        clusters_of(TABLE.codes())
    wide = CodeTable.from_codes(torch.zeros(1, 4, dtype=torch.int64), 1 << 16)
    with pytest.raises(ValueError, match="fewer positions"):
        clusters_of(wide, 4)
    assert clusters_of(wide, 3).tolist() == [0]
