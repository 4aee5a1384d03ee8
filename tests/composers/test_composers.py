"""Compositions against loops over nodes and positions."""

import itertools
import math

import pytest
import torch
from torch import nn

from kdgraph import KDEmbedding
from kdgraph.coders import FixedCoder
from kdgraph.codes import random_codes
from kdgraph.composers import (
    ConcatComposer,
    MLPComposer,
    RecurrentComposer,
    RingComposer,
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


def ring(words, rank, columns, dim):
    """Traces, channel by channel: the digits of a channel say which matrices."""
    cores = [word.view(rank, -1, rank) for word in words]
    entries = []
    for digits in itertools.islice(itertools.product(*map(range, columns)), dim):
        product = torch.eye(rank).double()
        for core, digit in zip(cores, digits, strict=True):
            product = product @ core[:, digit]
        entries.append(product.trace())
    return torch.stack(entries)


@pytest.mark.parametrize("dim", [8, 13, 16])
@pytest.mark.parametrize("positions", [1, 2, 3, 4])
@pytest.mark.parametrize("rows", ["few", "many"])
def test_ring(dim, positions, rows, scramble):
    # 180 codes in all: 30 rows are few beside them; one position has 2.
    codes = random_codes(30, positions, SIZES[:positions])
    composer = RingComposer(rank=3)
    encoder = KDEmbedding(30, dim, coder=FixedCoder(codes), composer=composer)
    encoder = encoder.double().eval()
    scramble(encoder)
    expected = torch.stack(
        [ring(codewords(encoder, node), 3, composer.columns, dim) for node in range(30)]
    )
    ids = torch.arange(30)
    if rows == "many":
        ids = ids.repeat(4)
    torch.testing.assert_close(encoder(ids), expected[ids])
    assert composer.weight.shape == (
        sum(SIZES[:positions]),
        9 * math.ceil(dim ** (1 / positions) - 1e-9),
    )


def test_ring_gradients_are_the_same_however_rows_are_formed(scramble):
    encoder = make(RingComposer(rank=2), dim=16)
    scramble(encoder)
    weights = torch.randn(30, 16).double()
    found = []
    for ids in (torch.arange(30), torch.arange(30).repeat(10)):
        encoder.zero_grad()
        loss = (encoder(ids) * weights.repeat(len(ids) // 30, 1)).sum()
        (loss * 30 / len(ids)).backward()
        found.append(encoder.composer.weight.grad.clone())
    torch.testing.assert_close(*found)
    assert found[0].any(dim=1).all()


def test_ring_starts_with_a_small_variance():
    codes = random_codes(3000, 3, 20)
    encoder = KDEmbedding(3000, 64, coder=FixedCoder(codes), composer=RingComposer(8))
    assert float(encoder().detach().std()) == pytest.approx(0.1, rel=0.15)


def test_a_rank_of_one_is_a_product_of_numbers(scramble):
    encoder = make(RingComposer(rank=1), dim=16)
    scramble(encoder)
    words = codewords(encoder, 7)
    by_hand = [math.prod(digits) for digits in itertools.product(*words)]
    torch.testing.assert_close(encoder(torch.tensor(7)), torch.stack(by_hand))


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
    "composer",
    [SumComposer, ConcatComposer, MLPComposer, RecurrentComposer, RingComposer],
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


@pytest.mark.parametrize("composer", [MLPComposer, RecurrentComposer, RingComposer])
def test_factors_need_a_linear_composition(composer):
    with pytest.raises(TypeError, match="SumComposer and ConcatComposer"):
        make(composer()).factors()


def test_factors_of_a_layer_norm():
    with pytest.raises(ValueError, match="not linear"):
        make(SumComposer(norm="layer")).factors()


# --- storage --------------------------------------------------------------------------

STORED = ["bfloat16", "int8"]


def by_hand(weight, sizes, storage):
    """Rounded rows, group by group, in plain arithmetic."""
    if storage == "bfloat16":
        return weight.float().bfloat16().to(weight.dtype)
    parts = []
    for rows in weight.split(sizes):
        scale = (rows.abs().max().float() / 127).bfloat16().to(weight.dtype)
        parts.append(torch.round(rows / scale) * scale)
    return torch.cat(parts)


@pytest.mark.parametrize("storage", STORED)
@pytest.mark.parametrize("training", [True, False])
def test_what_is_stored_is_what_is_used(storage, training, options, scramble):
    encoder = make(SumComposer(3, storage=storage, **options))
    scramble(encoder)
    encoder.train(training)
    composer, linear = encoder.composer, encoder.composer.projection
    exact = composer.weight.clone()
    if composer.null_code:
        exact[composer.offsets] = 0.0
    sizes = [6] if composer.shared else list(SIZES)
    rows = by_hand(exact, sizes, storage)
    matrix = by_hand(linear.weight, [8], storage)
    bias = by_hand(linear.bias, [8], "bfloat16")
    index = encoder.codes() + composer.offsets
    expected = rows[index].sum(dim=1) @ matrix.t() + bias
    torch.testing.assert_close(encoder(), expected, rtol=1e-12, atol=1e-12)
    assert not torch.allclose(rows, exact, rtol=1e-6)
    binary, basis = encoder.factors()
    torch.testing.assert_close(binary.to_dense() @ basis, expected)


def test_stored_bytes_by_hand():
    total = 2 + 6 + 3 + 5
    linear = {None: 4, "bfloat16": 2, "int8": 1}
    for storage, width in linear.items():
        scales = 2 if storage == "int8" else 0
        plain = make(SumComposer(storage=storage)).float().composer
        assert plain.stored_bytes() == total * 8 * width + 4 * scales
        shared = make(SumComposer(shared=True, storage=storage)).float().composer
        assert shared.stored_bytes() == 6 * 8 * width + scales
        projected = make(ConcatComposer(3, storage=storage)).float().composer
        bias = 8 * max(width, 2)
        assert projected.stored_bytes() == (
            total * 3 * width + 4 * scales + 8 * 12 * width + scales + bias
        )
        normed = make(SumComposer(norm="batch", storage=storage)).float().composer
        assert normed.stored_bytes() == plain.stored_bytes() + 4 * 8 * 4
    encoder = make(SumComposer(3, storage="int8")).float()
    floats = sum(parameter.numel() for parameter in encoder.parameters())
    assert encoder.training_bytes() == 4 * 4 * floats + 30 * 2 + 4 * 8


@pytest.mark.parametrize("storage", STORED)
@pytest.mark.parametrize("kind", [SumComposer, ConcatComposer, MLPComposer])
def test_stored_tensors_come_back(storage, kind, scramble):
    encoder = make(kind(3, norm="batch", storage=storage)).float()
    scramble(encoder)
    stored = encoder.composer.stored_tensors()
    narrow = torch.int8 if storage == "int8" else torch.bfloat16
    assert stored["weight"].dtype == narrow
    assert stored["output_norm.weight"].dtype == torch.float32
    assert ("weight_scale" in stored) == (storage == "int8")
    other = make(kind(3, norm="batch", storage=storage)).float()
    other.coder.packed.copy_(encoder.coder.packed)
    other.composer.load_stored(stored)
    assert torch.equal(other(), encoder())
    again = other.composer.stored_tensors()
    assert again.keys() == stored.keys()
    assert all(torch.equal(again[name], stored[name]) for name in stored)
    del stored["weight"]
    with pytest.raises(RuntimeError, match="weight"):
        other.composer.load_stored(stored)


@pytest.mark.parametrize("storage", STORED)
def test_gradient_passes_the_rounding(storage, scramble):
    rounded = make(SumComposer(storage=storage)).float()
    scramble(rounded)
    plain = make(SumComposer()).float()
    plain.coder.packed.copy_(rounded.coder.packed)
    with torch.no_grad():
        plain.composer.weight.copy_(rounded.composer.codebooks.weight)
    for encoder in (rounded, plain):
        encoder().square().sum().backward()
    assert torch.equal(rounded.composer.weight.grad, plain.composer.weight.grad)


def test_steps_too_small_to_see_add_up():
    encoder = make(SumComposer(storage="int8")).float()
    before = encoder.composer.stored_tensors()["weight"]
    optimizer = torch.optim.SGD(encoder.parameters(), lr=1e-5)
    changed = []
    for _ in range(200):
        optimizer.zero_grad()
        encoder().sum().backward()
        optimizer.step()
        now = encoder.composer.stored_tensors()["weight"]
        changed.append(float((now != before).float().mean()))
    assert changed[0] < 0.1
    assert changed[-1] > 0.5


@pytest.mark.parametrize("storage", STORED)
@pytest.mark.parametrize("kind", [SumComposer, ConcatComposer, MLPComposer])
def test_null_codes_are_zero_in_few_bits(storage, kind, scramble):
    encoder = make(kind(storage=storage))
    scramble(encoder)
    first = encoder.composer.offsets
    assert not encoder.composer.codebooks.weight[first].any()
    assert not encoder.composer.stored_tensors()["weight"][first].any()


def test_all_zero_codebooks():
    encoder = make(SumComposer(storage="int8")).float()
    with torch.no_grad():
        encoder.composer.weight.zero_()
    assert not encoder().any()
    assert (encoder.composer.stored_tensors()["weight_scale"] > 0).all()


# --- codes and errors -----------------------------------------------------------------


@pytest.mark.parametrize("storage", [None, "int8"])
def test_null_codes_are_zero_whether_weights_learn_or_not(storage):
    composer = SumComposer(storage=storage)
    encoder = KDEmbedding(20, 4, codebook_size=(3, 4), composer=composer).eval()
    nn.init.ones_(composer.weight)  # as a model does that draws all it has anew
    codes = torch.tensor([[0, 0], [0, 1]])
    with torch.no_grad():
        learning = composer(codes)
    assert torch.equal(learning[0], torch.zeros(4))
    encoder.requires_grad_(requires_grad=False)
    assert torch.equal(composer(codes), learning)
    assert torch.equal(encoder.export().composer(codes), learning)


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
        lambda: SumComposer(storage="float16"),
        lambda: MLPComposer(storage="int4"),
        lambda: MLPComposer(num_layers=0),
        lambda: MLPComposer(hidden_dim=0),
        lambda: MLPComposer(pool="max"),
        lambda: RecurrentComposer(hidden_dim=0),
        lambda: RecurrentComposer(pool="max"),
        lambda: RingComposer(0),
        lambda: RingComposer(2.0),
        lambda: RingComposer(norm="group"),
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
