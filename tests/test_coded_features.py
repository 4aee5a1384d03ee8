"""Products read off codes against products with the vectors, gradients included."""

import copy

import pytest
import torch

from kdgraph import KDEmbedding
from kdgraph.coded import CodedEncoder
from kdgraph.coders import FixedCoder, GumbelCoder, RefinedCoder, SoftmaxCoder, VQCoder
from kdgraph.codes import CodeTable
from kdgraph.composers import ConcatComposer, MLPComposer, SumComposer
from kdgraph.ops import Csr, PackedSelection, Pattern

COLUMNS = 3


def graph(num_nodes, targets=None):
    """Repeated edges, loops, isolated nodes; and the same as a matrix."""
    targets = num_nodes if targets is None else targets
    generator = torch.Generator().manual_seed(1)
    source = torch.randint(num_nodes, (60,), generator=generator)
    target = torch.randint(max(1, targets - 2), (60,), generator=generator)
    source, target = (torch.cat([e, e[:9]]) for e in (source, target))
    source[0] = target[0]
    weight = torch.rand(69, generator=generator)
    pattern = Pattern.of_edges(source, target, (num_nodes, targets))
    matrix = torch.zeros(targets, num_nodes, dtype=torch.float64)
    matrix.index_put_((target, source), weight.double(), accumulate=True)
    csr = Csr(pattern, weight if pattern.order is None else weight[pattern.order])
    count = torch.zeros(targets, dtype=torch.float64)
    count.index_add_(0, target, torch.ones_like(weight).double())
    return csr, matrix, count.clamp(min=1).unsqueeze(1)


def gradients(encoder, y, *others):
    slope = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).reshape(y.shape)
    leaves = [*encoder.parameters(), *others]
    found = torch.autograd.grad((y * slope).sum(), leaves, allow_unused=True)
    return [
        torch.zeros_like(leaf)
        if g is None
        else (g.to_dense() if g.layout == torch.sparse_coo else g)
        for g, leaf in zip(found, leaves, strict=True)
    ]


def both(encoder, n_id, seed=3):
    """Features and vectors of the same draw, each from an encoder of its own."""
    twin = copy.deepcopy(encoder)
    torch.manual_seed(seed)
    features = encoder.coded(n_id)
    torch.manual_seed(seed)
    return features, twin, twin(n_id)


@pytest.mark.parametrize(
    ("training", "n_id"),
    [(True, None), (True, torch.tensor([3, 1, 22, 1, 0])), (False, None)],
    ids=["train", "batch", "eval"],
)
def test_products_with_codes_are_those_with_vectors(
    encoder_case, training, n_id, scramble
):
    encoder = encoder_case.make()
    if not isinstance(encoder, CodedEncoder):
        pytest.skip("no codes")
    scramble(encoder)
    encoder = encoder.double().train(training)
    learns = any(p.requires_grad for p in encoder.parameters())
    csr, matrix, count = graph(23 if n_id is None else 5, 6)
    for height in (2, 40) if n_id is None else (2,):  # fold first, aggregate first
        weight = torch.randn(height, 8, dtype=torch.float64, requires_grad=True)
        other = weight.detach().clone().requires_grad_()
        features, twin, x = both(encoder, n_id)
        pairs = [
            (features.linear(weight), x @ other.t()),
            (features.aggregate(csr), matrix @ x),
            (features.aggregate(csr, weight), matrix @ x @ other.t()),
            (features.aggregate(csr, weight, "mean"), matrix @ x @ other.t() / count),
            (features.dense(), x),
        ]
        for found, expected in pairs:
            torch.testing.assert_close(found, expected)
        if learns:
            found = sum(y.sum() + y.square().sum() for y, _ in pairs).reshape(1)
            expected = sum(y.sum() + y.square().sum() for _, y in pairs).reshape(1)
            torch.testing.assert_close(
                gradients(encoder, found, weight), gradients(twin, expected, other)
            )


def test_vectors_are_formed_only_where_they_must_be():
    def features(coder, composer):
        return KDEmbedding(
            9, 8, num_codebooks=4, codebook_size=3, coder=coder, composer=composer
        ).coded()

    assert features("softmax", ConcatComposer()).reads_codes
    assert features("vq", SumComposer(code_dim=3)).reads_codes
    assert not features(GumbelCoder(hard=False), "sum").reads_codes
    assert not features("fixed", MLPComposer()).reads_codes
    assert not features("fixed", SumComposer(norm="batch")).reads_codes
    assert not features("fixed", SumComposer(norm="layer")).reads_codes


@pytest.mark.parametrize("composer", ["sum", "concat"])
@pytest.mark.parametrize(
    "coder",
    [SoftmaxCoder("free"), SoftmaxCoder(2), VQCoder(), FixedCoder()],
    ids=str,
)
@pytest.mark.parametrize("options", [{}, {"shared": True}], ids=str)
def test_dropped_codes(coder, composer, options, scramble):
    kind = {"sum": SumComposer, "concat": ConcatComposer}[composer]
    encoder = KDEmbedding(
        23,
        8,
        num_codebooks=4,
        codebook_size=[2, 5, 3, 5],
        coder=copy.deepcopy(coder),
        composer=kind(3, **options),
        code_dropout=0.4,
    ).double()
    scramble(encoder)
    csr, matrix, _ = graph(23)
    weight = torch.randn(2, 8, dtype=torch.float64)
    features, twin, x = both(encoder, None)
    assert features.reads_codes
    assert (features.selection.scale == 0).any()
    found, expected = features.aggregate(csr, weight), matrix @ x @ weight.t()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradients(encoder, found), gradients(twin, expected))


def test_packed_rows_are_read_as_they_are():
    table = CodeTable.from_codes(torch.tensor([[0, 4], [2, 1], [1, 3]]), [3, 5])
    encoder = KDEmbedding(3, 8, coder=FixedCoder(table))
    for made in (encoder, encoder.export()):
        features = made.coded()
        assert isinstance(features.selection, PackedSelection)
        assert (
            features.selection.table.packed
            is made.state_dict(keep_vars=True)[
                "packed" if made is not encoder else "coder.packed"
            ]
        )
        some = made.coded(torch.tensor([2, 0]))
        assert torch.equal(some.selection.codes, torch.tensor([[1, 3], [0, 4]]))
        assert features.selection._unpacked is None
        features.linear()
        assert features.selection._unpacked is None


def test_refined_codes_are_chosen_again_by_the_same_gradient(scramble):
    coder = RefinedCoder("compact", share=1.0, every=1, start=0)
    encoder = KDEmbedding(16, 8, num_codebooks=2, codebook_size=4, coder=coder)
    twin = copy.deepcopy(encoder)
    csr, matrix, _ = graph(16)
    (encoder.coded().aggregate(csr) - 1).square().sum().backward()
    (matrix.float() @ twin() - 1).square().sum().backward()
    assert coder.last_change > 0
    assert torch.equal(encoder.codes(), twin.codes())


def test_codes_that_changed_are_read_again():
    prefix = CodeTable.from_codes(torch.tensor([[0], [1], [1]]), 2)
    from kdgraph.codes import Prefix

    table = prefix.prefixed(Prefix(torch.tensor([0, 2, 3]), (2,)))
    encoder = KDEmbedding(3, 8, coder=RefinedCoder(table), composer="sum")
    first = encoder.coded().selection
    assert encoder.coded().selection.table.packed is first.table.packed
    assert torch.equal(first.codes, encoder.codes())
    encoder.coder.restore(torch.tensor([[1], [1], [0]], dtype=torch.uint8))
    assert torch.equal(encoder.coded().selection.codes, encoder.codes())


FIRST_COMPOSERS = {
    "sum": SumComposer,
    "sum code_dim": lambda: SumComposer(code_dim=3),
    "concat": ConcatComposer,
    "mlp": MLPComposer,
}


@pytest.mark.parametrize("composer", FIRST_COMPOSERS)
@pytest.mark.parametrize("coder", [FixedCoder, lambda: SoftmaxCoder(2), VQCoder])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("given", [True, False])
def test_the_first_of_a_batch(coder, composer, dropout, given, scramble):
    """What a layer of a sampled graph takes for its targets."""
    encoder = KDEmbedding(
        23,
        8,
        num_codebooks=4,
        codebook_size=3,
        coder=coder(),
        composer=FIRST_COMPOSERS[composer](),
        code_dropout=dropout,
    ).double()
    scramble(encoder)
    n_id = torch.randperm(23)[:11] if given else None
    weight = torch.randn(5, 8, dtype=torch.float64)
    csr, matrix, _ = graph(11 if given else 23, 6)
    for count in (0, 1, 6, 11):
        features, twin, x = both(encoder, n_id)
        some, part = features.first(count), x[:count]
        assert some.shape == (count, 8)
        pairs = [(some.linear(weight), part @ weight.t()), (some.dense(), part)]
        if count == 6:
            # Sources and targets in one step, as GraphSAGE has them.
            pairs.append((features.aggregate(csr) + some.dense(), matrix @ x + part))
        for found, expected in pairs:
            torch.testing.assert_close(found, expected)
        loss = sum(y.square().sum() + y.sum() for y, _ in pairs).reshape(1)
        wanted = sum(y.square().sum() + y.sum() for _, y in pairs).reshape(1)
        torch.testing.assert_close(gradients(encoder, loss), gradients(twin, wanted))


@pytest.mark.parametrize("composer", ["sum", "mlp"])
def test_the_first_of_the_first_and_of_what_was_formed(composer):
    encoder = KDEmbedding(
        23, 8, num_codebooks=4, codebook_size=3, coder="fixed", composer=composer
    )
    features, x = encoder.coded(), encoder()
    assert torch.equal(features.first(9).first(4).dense(), x[:4])
    whole = features.dense()
    assert features.first(9).dense().data_ptr() == whole.data_ptr()
    assert features.num_nodes == 23
    for count in (-1, 24):
        with pytest.raises(IndexError, match=f"of 23 nodes have no first {count}"):
            features.first(count)
    with pytest.raises(IndexError, match="of 9 nodes have no first 10"):
        features.first(9).first(10)


def test_sizes_as_of_a_tensor():
    features = KDEmbedding(7, 8, num_codebooks=4, codebook_size=3).coded()
    assert features.size() == features.shape == (7, 8)
    assert (features.size(0), features.size(-1)) == (7, 8)
    assert (features.dim(), features.ndim, features.numel()) == (2, 2, 56)
    assert len(features) == 7
    # A tensor to PyG alone: torch reads the memory of what it takes for one.
    assert not isinstance(features, torch.Tensor)
    assert type(features).__name__ == "CodedFeatures"


ROWS = {
    "slice": slice(2, 9),
    "step": slice(1, 9, 3),
    "from the end": slice(-4, None),
    "none": slice(5, 2),
    "ids": torch.tensor([3, 3, 0]),
    "mask": torch.arange(11) % 3 == 0,
}


@pytest.mark.parametrize("index", ROWS)
@pytest.mark.parametrize("composer", ["sum", "mlp"])
@pytest.mark.parametrize("coder", [FixedCoder, lambda: SoftmaxCoder(2)])
def test_rows_of_features(coder, composer, index, scramble):
    encoder = KDEmbedding(
        23, 8, num_codebooks=4, codebook_size=3, coder=coder(), composer=composer
    ).double()
    scramble(encoder)
    rows, weight = ROWS[index], torch.randn(5, 8, dtype=torch.float64)
    features, twin, x = both(encoder, torch.randperm(23)[:11])
    some, part = features[rows], x[rows]
    assert some.shape == part.shape
    pairs = [(some.linear(weight), part @ weight.t()), (some.dense(), part)]
    for found, expected in pairs:
        torch.testing.assert_close(found, expected)
    loss, wanted = (sum(p[i].square().sum() for p in pairs).reshape(1) for i in (0, 1))
    torch.testing.assert_close(gradients(encoder, loss), gradients(twin, wanted))


@pytest.mark.parametrize("composer", ["sum", "mlp"])
def test_no_gradient_reaches_the_encoder_of_detached_features(composer):
    encoder = KDEmbedding(9, 8, num_codebooks=4, codebook_size=3, composer=composer)
    weight = torch.randn(5, 8, requires_grad=True)
    for features in (encoder.coded(), encoder.coded()[2:7], encoder.coded().first(3)):
        detached = features.detach()
        torch.testing.assert_close(detached.dense(), features.dense())
        assert not detached.dense().requires_grad
        for _ in range(2):
            detached.linear(weight).sum().backward()
    assert all(p.grad is None for p in encoder.parameters())
    assert weight.grad.any()


def test_bad_rows():
    features = KDEmbedding(7, 8, num_codebooks=4, codebook_size=3).coded()
    with pytest.raises(ValueError, match=r"narrowed along nodes, dim=0, got dim=1"):
        features.narrow(1, 0, 3)
    for start, length in ((-1, 2), (5, 3), (3, -1)):
        with pytest.raises(IndexError, match="CodedFeatures of 7 nodes have no"):
            features.narrow(0, start, length)
    for index in (0, (slice(2), 0), None, torch.zeros(2, 2).long(), torch.zeros(2)):
        with pytest.raises(TypeError, match="got an index"):
            features[index]
    with pytest.raises(IndexError):
        features[torch.tensor([7])]


def test_bad_input():
    encoder = KDEmbedding(4, 8, num_codebooks=4, codebook_size=3)
    with pytest.raises(ValueError, match=r"ids \[B\]"):
        encoder.coded(torch.zeros(2, 2, dtype=torch.long))
    with pytest.raises(IndexError, match="node ids in"):
        encoder.coded(torch.tensor([4]))
    with pytest.raises(TypeError, match="integer node ids"):
        encoder.coded(torch.tensor([0.5]))
    features, (csr, *_) = encoder.coded(), graph(5)
    with pytest.raises(ValueError, match="4 nodes got a graph of 5"):
        features.aggregate(csr)
    with pytest.raises(ValueError, match=r"width 8 got a map of shape \[2, 5\]"):
        features.linear(torch.zeros(2, 5))
    with pytest.raises(ValueError, match="reduce='max'"):
        features.aggregate(graph(4)[0], reduce="max")
    with pytest.raises(TypeError, match=r"got relu\(\); pass them to a layer"):
        torch.relu(features)
    with pytest.raises(TypeError, match="got a pair of features"):
        _, _ = features
    with pytest.raises(AttributeError, match=r"no attribute 'view'; pass them to a la"):
        features.view(-1)
    assert not hasattr(features, "numpy")
    assert repr(features) == "CodedFeatures(4, 8, num_codebooks=4)"
    assert features.shape == (4, 8)
