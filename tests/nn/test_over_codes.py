"""What the layers over codes share."""

import pytest
import torch

from kdgraph.nn import CodedGCNConv, CodedSAGEConv


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("conv", [CodedGCNConv, CodedSAGEConv])
def test_mixed_precision_sums_over_a_float_graph(conv, backend, monkeypatch):
    if backend != "auto":
        monkeypatch.setenv("KDGRAPH_BACKEND", backend)
    torch.manual_seed(0)
    dense = (torch.rand(12, 12) < 0.4).float()
    options = {"normalize": False} if conv is CodedGCNConv else {}
    layer, adj_t = conv(8, 4, **options), dense.to_sparse_csr()
    x = torch.randn(12, 8, requires_grad=True)
    wanted = layer(x, adj_t)
    (by_x,) = torch.autograd.grad(wanted.sum(), x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        # Of the type that a layer before gives.
        found = layer(x.to(torch.bfloat16), adj_t)
    torch.testing.assert_close(found.float(), wanted, rtol=0.05, atol=0.05)
    (halved,) = torch.autograd.grad(found.sum(), x)
    torch.testing.assert_close(halved, by_x, rtol=0.05, atol=0.05)
