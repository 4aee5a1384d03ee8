"""What the base class promises, with the smallest encoder there is."""

import pytest
import torch

from kdgraph import Encoder, Encoding
from kdgraph.encoder import positive_int


class Identity(Encoder):
    """The id itself as a vector."""

    def reset_parameters(self):
        pass

    def inference_bytes(self):
        return 0

    def _encode(self, n_id):
        n_id = torch.arange(self.num_nodes) if n_id is None else n_id
        assert n_id.dim() == 1
        assert n_id.dtype == torch.long
        x = n_id.float().unsqueeze(-1).expand(-1, self.embedding_dim)
        return Encoding(x, x.new_zeros(()))


def test_the_base_flattens_and_restores():
    encoder = Identity(10, 3)
    ids = torch.tensor([[1, 2], [9, 0]], dtype=torch.int32)
    assert torch.equal(encoder(ids)[..., 0], ids.float())
    assert encoder(ids).shape == (2, 2, 3)
    assert encoder().shape == (10, 3)
    assert encoder(torch.tensor(4)).tolist() == [4.0] * 3


def test_no_type_of_ids_wraps():
    encoder = Identity(1000, 1)
    wide = torch.tensor([2**40])
    with pytest.raises(IndexError, match=str(2**40)):
        encoder(wide)
    assert encoder(torch.tensor([200], dtype=torch.uint8)).item() == 200.0


def test_the_law_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        Encoder(10, 3)


@pytest.mark.parametrize(
    ("sizes", "error"),
    [
        ((0, 3), ValueError),
        ((3, -1), ValueError),
        ((3.0, 3), TypeError),
        ((3, "3"), TypeError),
        ((True, 3), TypeError),
        ((None, 3), TypeError),
    ],
)
def test_sizes(sizes, error):
    with pytest.raises(error, match=r"Identity expects (num_nodes|embedding_dim)"):
        Identity(*sizes)


def test_sizes_may_come_from_tensors():
    encoder = Identity(torch.tensor(10), 3)
    assert type(encoder.num_nodes) is int
    assert positive_int(torch.tensor(3).item(), "n", "x") == 3


def test_the_check_can_be_asked_for_elsewhere(monkeypatch):
    # A meta tensor stands for an accelerator: reading a value from it raises.
    encoder, ids = Identity(10, 3), torch.zeros(4, dtype=torch.long, device="meta")
    monkeypatch.delenv("KDGRAPH_DEBUG", raising=False)
    encoder._check_ids(ids)
    monkeypatch.setenv("KDGRAPH_DEBUG", "1")
    with pytest.raises((RuntimeError, NotImplementedError)):
        encoder._check_ids(ids)
