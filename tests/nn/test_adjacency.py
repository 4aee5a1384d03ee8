"""What layers keep of a graph, and for how long."""

import gc
import weakref

import torch

from kdgraph.nn.adjacency import to_csr


def sparse(index=torch.int32):
    rowptr = torch.tensor([0, 2, 2, 3], dtype=index)
    col = torch.tensor([2, 0, 1], dtype=index)
    values = torch.tensor([0.5, 2.0, 3.0])
    return torch.sparse_csr_tensor(rowptr, col, values, (3, 3), check_invariants=False)


def test_a_sparse_tensor_is_not_copied():
    adj_t = sparse()
    csr = to_csr(adj_t, None, (3, 3))
    assert csr.pattern.rowptr.data_ptr() == adj_t.crow_indices().data_ptr()
    assert csr.pattern.col.data_ptr() == adj_t.col_indices().data_ptr()
    assert csr.weight.data_ptr() == adj_t.values().data_ptr()
    assert csr.pattern.rowptr.tolist() == [0, 2, 2, 3]
    assert csr.pattern.col.tolist() == [2, 0, 1]
    assert csr.weight.tolist() == [0.5, 2.0, 3.0]


def test_what_is_kept_dies_with_the_tensor():
    for index in (torch.int32, torch.int64):
        adj_t = sparse(index)
        kept = weakref.ref(to_csr(adj_t, None, (3, 3)))
        assert kept() is to_csr(adj_t, None, (3, 3))
        del adj_t
        gc.collect()
        assert kept() is None


def test_changed_values_are_read_again():
    adj_t = sparse()
    to_csr(adj_t, None, (3, 3)).transposed()
    adj_t.values().mul_(2)
    csr = to_csr(adj_t, None, (3, 3))
    assert csr.weight.tolist() == [1.0, 4.0, 6.0]
    assert csr.transposed()[2].tolist() == [4.0, 6.0, 1.0]


def test_ones_and_learned_weights():
    ones = torch.ones(3)
    given = sparse()
    parts = given.crow_indices(), given.col_indices()
    adj_t = torch.sparse_csr_tensor(*parts, ones, (3, 3), check_invariants=False)
    assert to_csr(adj_t, None, (3, 3)).weight is None
    learned = torch.sparse_csr_tensor(
        *parts, ones.clone().requires_grad_(), (3, 3), check_invariants=False
    )
    assert to_csr(learned, None, (3, 3)).weight.requires_grad


def test_a_part_of_larger_memory():
    wide = torch.arange(8.0)
    given = sparse()
    parts = given.crow_indices(), given.col_indices()
    adj_t = torch.sparse_csr_tensor(*parts, wide[2:5], (3, 3), check_invariants=False)
    assert to_csr(adj_t, None, (3, 3)).weight.tolist() == [2.0, 3.0, 4.0]
