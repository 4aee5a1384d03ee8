"""Functions of torch.func over encoders, as over nn.Embedding."""

import copy

import pytest
import torch
from torch.func import functional_call, grad, stack_module_state, vmap

from kdgraph import KDEmbedding
from kdgraph.coders import GumbelCoder, RefinedCoder, SoftmaxCoder, VQCoder
from kdgraph.composers import (
    ConcatComposer,
    MLPComposer,
    RecurrentComposer,
    RingComposer,
    SumComposer,
)

N_ID = torch.tensor([3, 3, 7, 19])
KINDS = {
    "softmax-sum-int8": lambda: (SoftmaxCoder(), SumComposer(4, storage="int8")),
    "free-affine-mlp": lambda: (
        SoftmaxCoder("free", normalize="affine"),
        MLPComposer(),
    ),
    "gumbel-concat": lambda: (GumbelCoder(), ConcatComposer(shared=True)),
    "vq-sum": lambda: (VQCoder(), SumComposer()),
    "vq-ring": lambda: (VQCoder(), RingComposer(2)),
    "refined-sum-batch": lambda: (RefinedCoder(), SumComposer(norm="batch")),
    "fixed-recurrent": lambda: ("fixed", RecurrentComposer()),
}


def make(kind):
    coder, composer = KINDS[kind]()
    sizes = (4, 5, 3, 6)
    return KDEmbedding(20, 8, codebook_size=sizes, coder=coder, composer=composer)


def by_autograd(encoder, weight):
    torch.manual_seed(5)
    parameters = dict(encoder.named_parameters())
    loss = (encoder(N_ID) * weight).sum()
    found = torch.autograd.grad(loss, list(parameters.values()))
    return dict(zip(parameters, found, strict=True))


def state(encoder):
    parameters, buffers = encoder.named_parameters(), encoder.named_buffers()
    return dict(parameters), {name: buffer.clone() for name, buffer in buffers}


@pytest.mark.parametrize("kind", KINDS)
def test_grad_is_that_of_autograd(kind):
    encoder, weight = make(kind), torch.randn(4, 8)
    parameters, buffers = state(encoder)
    torch.manual_seed(5)

    def loss(parameters, buffers):  # which batch normalisation moves
        x = functional_call(encoder, (parameters, buffers), (N_ID,))
        return (x * weight).sum()

    found = grad(loss)(parameters, buffers)
    torch.testing.assert_close(found, by_autograd(encoder, weight))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "gumbel" not in kind])
def test_an_ensemble_is_its_members(kind):
    members, weight = [make(kind) for _ in range(3)], torch.randn(4, 8)
    base = copy.deepcopy(members[0]).to("meta")
    parameters, buffers = stack_module_state(members)

    def loss(parameters, buffers):
        return (functional_call(base, (parameters, buffers), (N_ID,)) * weight).sum()

    found = vmap(grad(loss))(parameters, buffers)
    for number, member in enumerate(members):
        mine = {name: gradient[number] for name, gradient in found.items()}
        torch.testing.assert_close(mine, by_autograd(member, weight))


def test_ids_are_mapped_over():
    encoder, n_id = make("softmax-sum-int8"), torch.stack([N_ID, N_ID.flip(0)])
    torch.testing.assert_close(vmap(encoder)(n_id), encoder(n_id))


@pytest.mark.parametrize("kind", ["softmax-sum-int8", "vq-sum", "fixed-recurrent"])
def test_grad_of_what_layers_read_is_that_of_vectors(kind):
    encoder, weight = make(kind), torch.randn(4, 8)
    expected = by_autograd(encoder, weight)
    parameters, buffers = state(encoder)

    def loss(parameters):
        options = {"output": "coded"}
        features, _ = functional_call(encoder, (parameters, buffers), (N_ID,), options)
        return (features.linear() * weight).sum()

    torch.testing.assert_close(grad(loss)(parameters), expected)


def test_hooks_see_every_forward_pass():
    encoder, seen = make("vq-sum"), []
    encoder.register_forward_hook(lambda module, args, output: seen.append(output))
    assert encoder(N_ID) is seen[0]
    assert encoder.encode(N_ID) is seen[1]
    assert encoder.coded(N_ID) is seen[2][0]
    assert encoder.export() is not None
    assert len(seen) == 3
