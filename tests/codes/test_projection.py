"""Projection codes: against a plain loop, and what neighbourhoods do to bits."""

import numpy as np
import pytest
import torch
from scipy import sparse

from kdgraph.codes.projection import projection_codes
from kdgraph.data import sbm

GRAPH = sbm(num_nodes=600, mean_degree=12, seed=0).adj


def bits_of(codes, width):
    return np.concatenate([codes >> bit & 1 for bit in range(width)], axis=1)


def test_plain_loop():
    dense = GRAPH.toarray()
    rng = np.random.default_rng(5)
    expected = np.zeros((600, 2), dtype=np.int64)
    for position, bits in enumerate((3, 1)):
        vectors = rng.standard_normal((600, bits), dtype=np.float32)
        for bit in range(bits):
            seen = dense @ vectors[:, bit]
            expected[:, position] += (seen > np.median(seen)) * 2**bit
    codes = projection_codes(GRAPH, 2, (8, 2), seed=5).codes().numpy()
    assert (codes != expected).mean() < 0.005  # sums in another order may cross


def test_each_bit_halves_the_nodes():
    dense = np.triu(np.random.default_rng(0).random((300, 300)) < 0.2, 1)
    codes = projection_codes(sparse.csr_array(dense), 4, 256).codes().numpy()
    assert (bits_of(codes, 8).sum(axis=0) == 150).all()


def test_bits_agree_where_neighbourhoods_overlap():
    # Copies of a random row of which a part is redrawn: the angle decides.
    rng = np.random.default_rng(1)
    rows = rng.random((40, 400)) < 0.1
    half = rows.copy()
    half[:, 200:] = rng.random((40, 200)) < 0.1
    block = sparse.csr_array(np.concatenate([rows, rows, half]).astype(np.float32))
    adj = sparse.block_array([[None, block], [block.T, None]], format="csr")
    bits = bits_of(projection_codes(adj, 8, 256).codes().numpy()[:120], 8)
    own, twin, kin = np.split(bits, 3)
    assert (own == twin).all()
    close, far = (own == kin).mean(), (own == np.roll(kin, 1, axis=0)).mean()
    assert far + 0.1 < close < 1


def test_isolated_nodes_share_a_code():
    adj = sparse.block_diag([GRAPH, sparse.csr_array((50, 50))], format="csr")
    codes = projection_codes(adj, 2, 16).codes()
    assert (codes[600:] == codes[600]).all()


def test_seed():
    made = [projection_codes(GRAPH, 4, 16, seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(made[0].packed, made[1].packed)
    assert (made[0].codes() != made[2].codes()).float().mean() > 0.5


@pytest.mark.parametrize(("size", "use"), [(5, 4), (48, 32), ((8, 3), 2)])
def test_sizes_are_powers_of_two(size, use):
    with pytest.raises(ValueError, match=f"power of two, got .*; use {use}$"):
        projection_codes(GRAPH, 2, size)


def test_bad_adjacency():
    with pytest.raises(TypeError, match="projection_codes expects a scipy"):
        projection_codes(GRAPH.toarray(), 2, 4)
