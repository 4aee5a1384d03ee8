"""What optimizers hold, against the optimizers."""

import pytest
import torch
from torch import nn

from kdgraph.optimizer_state import state_floats, training_bytes

MAKERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adagrad": torch.optim.Adagrad,
    "rmsprop": torch.optim.RMSprop,
    "rmsprop+": lambda p: torch.optim.RMSprop(p, momentum=0.9, centered=True),
    "adam": torch.optim.Adam,
    "amsgrad": lambda p: torch.optim.Adam(p, amsgrad=True),
    "adamw": torch.optim.AdamW,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
}


@pytest.mark.parametrize("name", MAKERS)
def test_state_of_real_optimizers(name):
    parameter = nn.Parameter(torch.randn(7, 3))
    optimizer = MAKERS[name]([parameter])
    parameter.square().sum().backward()
    optimizer.step()
    held = sum(
        value.numel()
        for value in optimizer.state[parameter].values()
        if isinstance(value, torch.Tensor) and value.numel() == 21
    )
    assert state_floats(optimizer) * 21 == held
    if name in ("sgd", "momentum", "adagrad", "rmsprop", "adam", "adamw", "nadam"):
        assert state_floats(name) * 21 == held


def test_names_are_forgiving():
    assert state_floats("Adam") == state_floats("ADAM") == 2
    assert state_floats("Sparse_Adam") == state_floats("sparse-adam") == 2


def test_unknown_optimizers():
    with pytest.raises(ValueError, match=r"unknown optimizer 'lion'.*adam"):
        state_floats("lion")
    with pytest.raises(ValueError, match="unknown optimizer 'lbfgs'"):
        state_floats(torch.optim.LBFGS([nn.Parameter(torch.zeros(1))]))


def test_bytes_of_a_module():
    module = nn.BatchNorm1d(10)  # 20 weights; 20 floats and one counter kept aside
    aside = 20 * 4 + 8
    assert training_bytes(module, "sgd") == 2 * 20 * 4 + aside
    assert training_bytes(module, "adam") == 4 * 20 * 4 + aside
    assert training_bytes(module.half(), "adam") == 4 * 20 * 2 + 20 * 2 + 8
    module.float().weight.requires_grad_(False)
    assert training_bytes(module, "adam") == (4 + 1) * 10 * 4 + aside
