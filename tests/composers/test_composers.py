"""Compositions against loops over nodes and positions."""

import pytest
import torch

from kdgraph import KDEmbedding
from kdgraph.coders import FixedCoder
from kdgraph.codes import random_codes
from kdgraph.composers import (
    ConcatComposer,
    MLPComposer,
    RecurrentComposer,
    SumComposer,
)

SIZES = (2, 6, 3, 5)


def make(composer, size=SIZES, num_nodes=30, dim=8):
    codes = random_codes(num_nodes, 4, size)
    encoder = KDEmbedding(num_nodes, dim, coder=FixedCoder(codes), composer=composer)
    return encoder.double().eval()


@pytest.fixture(params=["own", "shared", "own, no null", "shared, no null"])
def options(request):
    name = request.param
    return {"shared": "shared" in name, "null_code": "no null" not in name}


@pytest.fixture(params=[4, SIZES], ids=["uniform", "ragged"])
def size(request):
    return request.param


def codewords(encoder, node):
    """The D codewords of a node, looked up one by one."""
    composer, found, first = encoder.composer, [], 0
    codes = encoder.codes(torch.tensor(node)).tolist()
    for code, size in zip(codes, encoder.codebook_sizes, strict=True):
        row = composer.weight[code if composer.shared else first + code]
        found.append(torch.zeros_like(row) if composer.null_code and code == 0 else row)
        first += size
    return found


def check(encoder, compose):
    expected = torch.stack([compose(codewords(encoder, node)) for node in range(30)])
    torch.testing.assert_close(encoder(), expected)


@pytest.mark.parametrize("code_dim", [None, 3])
def test_sum(code_dim, options, size, scramble):
    encoder = make(SumComposer(code_dim, **options), size)
    scramble(encoder)
    check(encoder, lambda words: encoder.composer.projection(sum(words)))


@pytest.mark.parametrize("code_dim", [None, 3])
def test_concat(code_dim, options, size, scramble):
    encoder = make(ConcatComposer(code_dim, **options), size)
    scramble(encoder)
    check(encoder, lambda words: encoder.composer.projection(torch.cat(words)))


@pytest.mark.parametrize("pool", ["concat", "mean"])
def test_mlp(pool, options, size, scramble):
    composer = MLPComposer(num_layers=3, hidden_dim=7, pool=pool, **options)
    encoder = make(composer, size)
    scramble(encoder)

    def compose(words):
        pooled = torch.cat(words) if pool == "concat" else sum(words) / 4
        hidden = torch.relu(composer.first.weight @ pooled + composer.first.bias)
        for layer in composer.residual:
            hidden = hidden + torch.relu(layer.weight @ hidden + layer.bias)
        return composer.last.weight @ hidden + composer.last.bias

    check(encoder, compose)


def lstm(cell, words):
    """Hidden states by the equations; gates in the order of torch: i, f, g, o."""
    hidden, memory, states = torch.zeros(5).double(), torch.zeros(5).double(), []
    for word in words:
        gates = cell.weight_ih @ word + cell.bias_ih
        gates = gates + cell.weight_hh @ hidden + cell.bias_hh
        enter, forget, new, leave = gates.view(4, 5)
        memory = torch.sigmoid(forget) * memory + torch.sigmoid(enter) * torch.tanh(new)
        hidden = torch.sigmoid(leave) * torch.tanh(memory)
        states.append(hidden)
    return states


@pytest.mark.parametrize("pool", ["last", "mean"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_recurrent(pool, bidirectional, options, size, scramble):
    composer = RecurrentComposer(
        hidden_dim=5,
        pool=pool,
        bidirectional=bidirectional,
        **options,
    )
    encoder = make(composer, size)
    scramble(encoder)

    def compose(words):
        runs = [lstm(composer.cells[0], words)]
        if bidirectional:
            runs.append(lstm(composer.cells[1], words[::-1]))
        pooled = [sum(run) / 4 if pool == "mean" else run[-1] for run in runs]
        return composer.last.weight @ torch.cat(pooled) + composer.last.bias

    check(encoder, compose)


def test_recurrent_is_an_lstm(scramble):
    composer = RecurrentComposer(hidden_dim=5, bidirectional=True)
    encoder = make(composer)
    scramble(encoder)
    whole = torch.nn.LSTM(4, 5, batch_first=True, bidirectional=True).double()
    for suffix, cell in zip(("", "_reverse"), composer.cells, strict=True):
        for name, parameter in cell.named_parameters():
            getattr(whole, f"{name}_l0{suffix}").data.copy_(parameter)
    words = torch.stack([torch.stack(codewords(encoder, node)) for node in range(30)])
    _, (state, _) = whole(words)
    expected = composer.last(torch.cat(state.unbind(0), dim=-1))
    torch.testing.assert_close(encoder(), expected)


@pytest.mark.parametrize("norm", ["batch", "layer"])
@pytest.mark.parametrize("training", [True, False])
def test_norms(norm, training, scramble):
    encoder = make(SumComposer(norm=norm))
    scramble(encoder)
    encoder.train(training)
    words = torch.stack([sum(codewords(encoder, node)) for node in range(30)])
    own = encoder.composer.output_norm
    if norm == "layer":
        mean = words.mean(dim=1, keepdim=True)
        var = words.var(dim=1, correction=0, keepdim=True)
    elif training:
        mean, var = words.mean(dim=0), words.var(dim=0, correction=0)
    else:
        mean, var = own.running_mean, own.running_var
    expected = (words - mean) / torch.sqrt(var + 1e-5) * own.weight + own.bias
    torch.testing.assert_close(encoder(), expected)


def test_batch_norm_of_one_row_uses_running_statistics():
    encoder = make(SumComposer(norm="batch")).train()
    before = encoder.composer.output_norm.running_mean.clone()
    one = torch.tensor([4])
    trained = encoder(one)
    assert torch.equal(encoder.composer.output_norm.running_mean, before)
    assert torch.equal(trained, encoder.eval()(one))


@pytest.mark.parametrize(
    "composer", [SumComposer, ConcatComposer, MLPComposer, RecurrentComposer]
)
def test_a_codeword_moves_only_nodes_that_use_it(composer, scramble):
    encoder = make(composer())
    scramble(encoder)
    before, codes = encoder().detach(), encoder.codes()
    with torch.no_grad():
        encoder.composer.weight[2 + 3] += 1.0  # choice 3 of position 1
    changed = (encoder() != before).any(dim=1)
    assert torch.equal(changed, codes[:, 1] == 3)


@pytest.mark.parametrize(
    "composer", [SumComposer, ConcatComposer, MLPComposer, RecurrentComposer]
)
def test_null_codes_stay_zero_while_training(composer):
    encoder = make(composer()).train()
    optimizer = torch.optim.Adam(encoder.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        encoder().square().sum().backward()
        optimizer.step()
    first = encoder.composer.weight[encoder.composer.offsets]
    assert not first.any()
    assert encoder.composer.weight.any()


# --- factors --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [SumComposer, ConcatComposer])
@pytest.mark.parametrize("code_dim", [None, 3])
@pytest.mark.parametrize("norm", [None, "batch"])
def test_factors(kind, code_dim, norm, options, scramble):
    composer = kind(code_dim, norm=norm, **options)
    encoder = make(composer, num_nodes=60, dim=16)
    scramble(encoder)
    binary, basis = encoder.factors()
    total = sum(encoder.codebook_sizes)
    assert binary.layout == torch.sparse_csr
    assert binary.shape == (60, total)
    assert basis.shape == (total, 16)
    assert torch.equal(binary.values(), torch.ones(60 * 4).double())
    assert torch.equal(binary.crow_indices().diff(), torch.full((60,), 4))
    torch.testing.assert_close(binary.to_dense() @ basis, encoder())
    bound = min(60, 16, total - 4 + 1)
    assert torch.linalg.matrix_rank(encoder()) <= bound


def test_rank_bound_is_reached(scramble):
    encoder = make(SumComposer(null_code=False), (2, 3, 2, 3), num_nodes=200, dim=16)
    scramble(encoder)
    assert torch.linalg.matrix_rank(encoder()) == 2 + 3 + 2 + 3 - 4 + 1


@pytest.mark.parametrize("composer", [MLPComposer, RecurrentComposer])
def test_factors_need_a_linear_composition(composer):
    with pytest.raises(TypeError, match="SumComposer and ConcatComposer"):
        make(composer()).factors()


def test_factors_of_a_layer_norm():
    with pytest.raises(ValueError, match="not linear"):
        make(SumComposer(norm="layer")).factors()


# --- codes and errors -----------------------------------------------------------------


def test_codes_of_any_shape():
    encoder = make(SumComposer())
    codes = encoder.codes()
    composer = encoder.composer
    assert composer(codes[0]).shape == (8,)
    assert composer(codes.view(5, 6, 4)).shape == (5, 6, 8)
    assert torch.equal(composer(codes.int()), composer(codes))
    assert composer(codes[:0]).shape == (0, 8)


@pytest.mark.parametrize(
    ("codes", "error"),
    [
        (torch.tensor([[0, 6, 0, 0]]), IndexError),
        (torch.tensor([[0, 0, -1, 0]]), IndexError),
        (torch.tensor([0, 0, 0]), ValueError),
        (torch.tensor(0), ValueError),
        (torch.zeros(1, 4), TypeError),
        (torch.zeros(1, 4, dtype=torch.bool), TypeError),
    ],
)
def test_bad_codes(codes, error):
    with pytest.raises(error, match="SumComposer expects"):
        make(SumComposer()).composer(codes)


@pytest.mark.parametrize(
    "build",
    [
        lambda: SumComposer(0),
        lambda: SumComposer(2.5),
        lambda: ConcatComposer(norm="group"),
        lambda: MLPComposer(num_layers=0),
        lambda: MLPComposer(hidden_dim=0),
        lambda: MLPComposer(pool="max"),
        lambda: RecurrentComposer(hidden_dim=0),
        lambda: RecurrentComposer(pool="max"),
    ],
)
def test_options_out_of_range(build):
    with pytest.raises(ValueError, match="Composer expects"):
        build()


def test_concat_needs_a_width_that_divides():
    with pytest.raises(ValueError, match=r"10 is not a multiple.*code_dim"):
        make(ConcatComposer(), dim=10)
    assert make(ConcatComposer(2), dim=10)().shape == (30, 10)


def test_a_composer_without_sizes():
    composer = SumComposer()
    for use in (
        composer.reset_parameters,
        lambda: composer(torch.zeros(1, 4, dtype=torch.long)),
        lambda: composer.codebooks,
    ):
        with pytest.raises(ValueError, match="no sizes yet"):
            use()
