"""Clustered compositional embeddings: the formula, a clustering by hand, the bytes."""

import pytest
import torch

from kdgraph.baselines import CCEEmbedding
from kdgraph.ops import unpack


def parts(encoder):
    """Tables ``[c, 2, R, S]`` and pointers ``[N, c, 2]``."""
    tables = encoder.tables.detach().clone()
    pointers = unpack(encoder.packed, encoder.pointer_sizes)
    return (
        tables.view(encoder.num_chunks, 2, encoder.num_rows, -1),
        pointers.view(encoder.num_nodes, encoder.num_chunks, 2),
    )


def grouped(rows=8, spread=0.01):
    """An encoder of 60 nodes whose vectors lie around 3 points in either chunk."""
    encoder = CCEEmbedding(60, 6, num_rows=rows, num_chunks=2)
    tables = encoder.tables.data.view(2, 2, rows, 3)
    tables[:, 0] = 10.0 * torch.eye(3)[torch.arange(rows) % 3]
    tables[:, 1].normal_(std=spread)
    return encoder


def test_vectors_are_sums_of_two_rows_for_every_chunk():
    encoder = CCEEmbedding(30, 12, num_rows=6, num_chunks=3)
    tables, pointers = parts(encoder)
    for node in (0, 7, 29):
        chunks = [
            tables[j, 0, pointers[node, j, 0]] + tables[j, 1, pointers[node, j, 1]]
            for j in range(3)
        ]
        torch.testing.assert_close(encoder(torch.tensor(node)), torch.cat(chunks))


def test_pointers_start_at_random():
    _, pointers = parts(CCEEmbedding(4000, 4, num_rows=5, num_chunks=1))
    counts = torch.bincount((5 * pointers[:, 0, 0] + pointers[:, 0, 1]), minlength=25)
    assert (counts - 160).abs().max() < 60


def test_clustering_points_to_the_nearest_centroid():
    encoder = grouped(rows=3)
    before = encoder().detach().view(60, 2, 3)
    encoder.cluster()
    tables, pointers = parts(encoder)
    for chunk in range(2):
        distance = torch.cdist(before[:, chunk], tables[chunk, 0])
        assert torch.equal(distance.argmin(dim=1), pointers[:, chunk, 0])
        # The three points are found again.
        found = (tables[chunk, 0] / 10).round()
        assert torch.equal(found.sum(dim=0), torch.ones(3))


def test_second_tables_are_means_of_what_is_left():
    encoder = grouped(rows=8, spread=1.0)
    before = encoder().detach().view(60, 2, 3)
    encoder.cluster()
    tables, pointers = parts(encoder)
    for chunk in range(2):
        left = before[:, chunk] - tables[chunk, 0][pointers[:, chunk, 0]]
        for row in range(8):
            mine = left[pointers[:, chunk, 1] == row]
            mean = mine.mean(dim=0) if len(mine) else torch.zeros(3)
            torch.testing.assert_close(tables[chunk, 1, row], mean)


def test_blocks_of_nodes_make_no_difference(monkeypatch):
    encoder = grouped()
    torch.manual_seed(3)
    encoder.cluster()
    whole = encoder().detach()
    torch.manual_seed(0)
    other = grouped()
    monkeypatch.setattr("kdgraph.baselines.cce.CHUNK_ROWS", 60)
    torch.manual_seed(3)
    other.cluster()
    assert torch.equal(whole, other().detach())
    monkeypatch.setattr("kdgraph.baselines.cce.CHUNK_ROWS", 7)
    before = other().detach().view(60, 2, 3)
    other.cluster()
    tables, pointers = parts(other)
    left = before[:, 1] - tables[1, 0][pointers[:, 1, 0]]
    mine = pointers[:, 1, 1] == int(pointers[0, 1, 1])
    torch.testing.assert_close(
        tables[1, 1, int(pointers[0, 1, 1])], left[mine].mean(dim=0)
    )


def test_clustering_keeps_most_of_what_was_learned():
    # The vectors are few: two tables hold them all but for the drawn residuals.
    encoder = grouped(rows=8, spread=0.01)
    before = encoder().detach()
    _, old = parts(encoder)
    encoder.cluster()
    _, new = parts(encoder)
    assert (encoder() - before).abs().max() < 0.1
    assert not torch.equal(old[:, :, 1], new[:, :, 1])


def test_few_distinct_vectors_are_clustered_too():
    encoder = CCEEmbedding(40, 4, num_rows=16, num_chunks=2)
    with torch.no_grad():
        encoder.tables.fill_(0.5)
    encoder.cluster()
    torch.testing.assert_close(encoder(), torch.ones(40, 4))


def test_epochs_after_which_it_clusters():
    encoder = CCEEmbedding(40, 4, num_rows=4, num_chunks=2, cluster_after=(2, 3))
    changed = []
    for epoch in range(5):
        before = encoder.packed.clone()
        encoder.after_epoch(epoch)
        changed.append(not torch.equal(before, encoder.packed))
    assert changed == [False, True, True, False, False]
    # The optimizer holds the same parameter as before.
    assert [name for name, _ in encoder.named_parameters()] == ["tables"]


def test_bytes_by_hand():
    # 6 pointers of 3 bits are 3 bytes; 2 x 5 rows of 9 floats.
    encoder = CCEEmbedding(20, 9, num_rows=5, num_chunks=3)
    assert encoder.inference_bytes() == 20 * 3 + 4 * 2 * 5 * 9
    assert encoder.training_bytes() == 20 * 3 + 16 * 2 * 5 * 9


def test_most_rows_within():
    exact = CCEEmbedding(100, 8, num_rows=9).inference_bytes()
    assert CCEEmbedding.within(exact, 100, 8).num_rows == 9
    # Eight rows need a bit less for each pointer.
    assert CCEEmbedding.within(exact - 1, 100, 8).num_rows == 8
    assert CCEEmbedding.within(10**9, 100, 8, num_chunks=2).num_rows == 100
    smallest = CCEEmbedding(100, 8, num_rows=2).inference_bytes()
    assert CCEEmbedding.within(smallest, 100, 8).num_rows == 2
    with pytest.raises(ValueError, match="CCEEmbedding does not fit"):
        CCEEmbedding.within(smallest - 1, 100, 8)
    with torch.device("meta"):
        large = CCEEmbedding.within(10**7, 10**6, 64)
    assert large.packed.is_meta
    assert large.inference_bytes() <= 10**7


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"num_rows": 1}, ValueError, r"num_rows in \[2, 65536\], got 1"),
        ({"num_rows": 4.0}, TypeError, "num_rows as an integer"),
        ({"num_rows": 4, "num_chunks": 3}, ValueError, "multiple of num_chunks=3"),
        ({"num_rows": 4, "cluster_after": (0,)}, ValueError, "cluster_after"),
    ],
)
def test_bad_input(options, error, message):
    with pytest.raises(error, match=message):
        CCEEmbedding(23, 8, **options)
