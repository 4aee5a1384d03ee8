"""Codewords trained as sums over a hierarchy, against explicit codebooks per level."""

import itertools
import math

import pytest
import torch

from kdgraph import KDEmbedding, PackedEmbedding
from kdgraph.artifact import write_artifact
from kdgraph.coders import FixedCoder, RefinedCoder
from kdgraph.codes import CodeTable
from kdgraph.composers import ConcatComposer, SumComposer

NUM_NODES, DIM = 50, 8
TREES = ((3, 2, 4), None, (2, 2))
SIZES = (24, 5, 4)
CLUSTERS = 3 + 6 + 2
ANCESTORS = "ancestors.weight"
STORAGE = [None, "bfloat16", "int8"]


def table(sizes=SIZES):
    generator = torch.Generator().manual_seed(3)
    columns = [torch.randint(k, (NUM_NODES,), generator=generator) for k in sizes]
    return CodeTable.from_codes(torch.stack(columns, dim=1), sizes)


def make(composer, codes=None, coder=FixedCoder):
    codes = table() if codes is None else codes
    return KDEmbedding(NUM_NODES, DIM, coder=coder(codes), composer=composer)


def treed(kind=SumComposer, *args, trees=TREES, **options):
    return make(kind(*args, null_code=False, trees=trees, **options))


def explicit(codes, trees=TREES):
    """The same nodes with one position per level, the path down to each."""
    columns, sizes = [], []
    for leaf, size, tree in zip(codes.codes().unbind(1), SIZES, trees, strict=True):
        for level in range(len(tree or (size,))):
            below = math.prod((tree or (size,))[level + 1 :])
            columns.append(leaf // below)
            sizes.append(size // below)
    return CodeTable.from_codes(torch.stack(columns, dim=1), sizes)


def by_level(ancestors, leaves):
    """Rows of a tree composer in the order of explicit levels."""
    coarse = iter(ancestors.split([3, 6, 2]))
    first, plain, second = leaves.split(SIZES)
    return torch.cat([*itertools.islice(coarse, 2), first, plain, *coarse, second])


def twins(*args, **options):
    """A composer with trees and one with explicit levels, with the same numbers."""
    tree = treed(SumComposer, *args, **options)
    levels = make(
        SumComposer(*args, null_code=False, **options), codes=explicit(table())
    )
    own = tree.composer
    with torch.no_grad():
        rows = by_level(own.ancestors.weight, own.weight)
        levels.composer.weight.copy_(rows)
    others = {
        name: value
        for name, value in own.state_dict().items()
        if name not in ("weight", ANCESTORS)
    }
    levels.composer.load_state_dict(others, strict=False)
    return tree, levels


def learned(encoder):
    return dict(encoder.composer.named_parameters())


# --- the same training as codebooks per level -----------------------------------------


@pytest.mark.parametrize("code_dim", [None, 3])
def test_forward_and_gradients_are_those_of_levels(code_dim):
    tree, levels = twins(code_dim, norm="batch")
    target = torch.randn(NUM_NODES, DIM)
    for encoder in (tree, levels):
        (encoder() * target).sum().backward()
    torch.testing.assert_close(tree(), levels())
    own, other = learned(tree), learned(levels)
    together = by_level(own.pop(ANCESTORS).grad, own.pop("weight").grad)
    torch.testing.assert_close(together, other.pop("weight").grad)
    assert own.keys() == other.keys()
    assert len(own) == (4 if code_dim else 2)
    for name, parameter in own.items():
        # Numbers of some hundreds, of sums in another order.
        torch.testing.assert_close(
            parameter.grad, other[name].grad, rtol=1e-5, atol=1e-4
        )


def test_adam_with_weight_decay_takes_the_same_way():
    tree, levels = twins(3)
    target = torch.randn(NUM_NODES, DIM)
    before = tree().detach()
    for encoder in (tree, levels):
        optimizer = torch.optim.Adam(encoder.parameters(), lr=0.05, weight_decay=0.01)
        for _ in range(20):
            optimizer.zero_grad()
            (encoder() - target).square().mean().backward()
            optimizer.step()
    torch.testing.assert_close(tree(), levels(), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(tree(), before, rtol=0.1)


@pytest.mark.parametrize("kind", [SumComposer, ConcatComposer])
@pytest.mark.parametrize("storage", STORAGE)
def test_codewords_by_a_loop(kind, storage):
    composer = treed(kind, 3, storage=storage).composer
    rows, first = composer.weight.detach().clone(), [0, 3, 9]
    for leaf in range(24):
        for start, below in zip(first, (8, 4), strict=False):
            rows[leaf] += composer.ancestors.weight[start + leaf // below]
    for leaf in range(4):
        rows[29 + leaf] += composer.ancestors.weight[9 + leaf // 2]
    words = composer.codebooks.weight
    coarse = {None: 1e-6, "bfloat16": 2**-8, "int8": 1 / 127}[storage]
    assert (words - rows).abs().max() <= coarse * rows.abs().max()


def test_a_cluster_moves_its_leaves_only(scramble):
    encoder = treed()
    scramble(encoder)
    before, leaves = encoder().detach(), encoder.codes()[:, 0]
    with torch.no_grad():
        encoder.composer.ancestors.weight[3 + 4] += 1.0  # second level, cluster 4
    changed = (encoder() != before).any(dim=1)
    assert torch.equal(changed, leaves // 4 == 4)
    assert changed.any()


def test_one_level_is_an_ordinary_codebook():
    plain = make(SumComposer(null_code=False)).composer
    torch.manual_seed(1)
    plain.reset_parameters()
    for trees in ((None, None, None), ((24,), None, [4])):
        composer = treed(trees=trees).composer
        torch.manual_seed(1)
        composer.reset_parameters()
        assert composer.state_dict().keys() == plain.state_dict().keys()
        assert torch.equal(composer.weight, plain.weight)


def test_variance_is_that_of_levels():
    composer = SumComposer(64, null_code=False, trees=((16, 16, 16), None))
    composer.bind((4096, 512), 64)
    words = composer.codebooks.weight.detach()
    assert float(composer.ancestors.weight.detach().std()) == pytest.approx(
        0.1, rel=0.05
    )
    assert float(words[:4096].var()) == pytest.approx(0.03, rel=0.1)
    assert float(words[4096:].var()) == pytest.approx(0.01, rel=0.1)


# --- what is stored -------------------------------------------------------------------


def test_bytes_by_hand():
    encoder = treed()
    # 5 + 3 + 2 bits a node: 2 bytes.
    packed, rows, offsets = NUM_NODES * 2, sum(SIZES), len(SIZES) * 8
    assert encoder.composer.stored_bytes() == rows * DIM * 4
    assert encoder.inference_bytes() == packed + rows * DIM * 4
    assert encoder.training_bytes() == 16 * (rows + CLUSTERS) * DIM + packed + offsets
    assert encoder.export().training_bytes() == 4 * rows * DIM + packed + offsets
    narrow = treed(SumComposer, 3, storage="int8")
    projection = DIM * 3 + 2 + DIM * 2
    assert narrow.inference_bytes() == packed + rows * 3 + 3 * 2 + projection
    floats = (rows + CLUSTERS) * 3 + DIM * 3 + DIM
    assert narrow.training_bytes() == 16 * floats + packed + offsets


@pytest.mark.parametrize("kind", [SumComposer, ConcatComposer])
@pytest.mark.parametrize("storage", STORAGE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_export_and_file_give_the_same_bits(tmp_path, kind, storage, dtype, scramble):
    encoder = treed(kind, 3, norm="batch", storage=storage).to(dtype)
    scramble(encoder)
    encoder.train()()
    x = encoder.eval()().detach()
    packed = encoder.export()
    packed.save(tmp_path / "a")
    loaded = PackedEmbedding.load(tmp_path / "a")
    assert torch.equal(encoder.composer(encoder.codes()), x)
    assert torch.equal(packed(), x)
    assert torch.equal(loaded(), x)
    assert loaded.inference_bytes() == packed.inference_bytes()
    assert packed.inference_bytes() == encoder.inference_bytes()
    for frozen in (packed, loaded):
        assert frozen.composer.trees is None
        assert not any("ancestors" in name for name in frozen.state_dict())
    assert encoder.composer.trees == TREES
    assert b"trees" not in (tmp_path / "a").read_bytes()[:4096]


def test_writing_a_composer_that_still_trains(tmp_path):
    encoder = treed(storage="int8").eval()
    write_artifact(tmp_path / "a", encoder.code_table(), encoder.composer)
    assert torch.equal(PackedEmbedding.load(tmp_path / "a")(), encoder())


@pytest.mark.parametrize("storage", STORAGE)
def test_stored_tensors_come_back(storage, scramble):
    encoder = treed(SumComposer, 3, storage=storage)
    scramble(encoder)
    stored = encoder.composer.stored_tensors()
    for other in (
        treed(SumComposer, 3, storage=storage),
        make(SumComposer(3, null_code=False, storage=storage)),
    ):
        other.composer.load_stored(stored)
        assert other.composer.ancestors is None
        assert torch.equal(other(), encoder())
        again = other.composer.stored_tensors()
        assert again.keys() == stored.keys()
        assert all(torch.equal(again[name], stored[name]) for name in stored)


def test_compiled_is_the_same(scramble):
    composer = treed(SumComposer, 3, storage="int8").eval().composer
    scramble(composer)
    codes = table().codes()
    compiled = torch.compile(composer, backend="eager", fullgraph=True)
    assert torch.equal(compiled(codes), composer(codes))


def test_state_dict_keeps_the_ancestors(scramble):
    encoder, other = treed(), treed()
    scramble(encoder)
    other.load_state_dict(encoder.state_dict())
    assert torch.equal(other.composer.ancestors.weight, learned(encoder)[ANCESTORS])
    assert torch.equal(other(), encoder())
    with pytest.raises(RuntimeError, match=ANCESTORS):
        make(SumComposer(null_code=False)).load_state_dict(encoder.state_dict())


@pytest.mark.parametrize("storage", STORAGE)
def test_gradient_passes_the_rounding(storage, scramble):
    encoder, exact = treed(storage=storage), treed()
    scramble(encoder)
    exact.load_state_dict(encoder.state_dict())
    target = torch.randn(NUM_NODES, DIM)
    for each in (encoder, exact):
        (each() * target).sum().backward()
    for name, parameter in learned(encoder).items():
        assert torch.equal(parameter.grad, learned(exact)[name].grad)


# --- who reads codewords --------------------------------------------------------------


@pytest.mark.parametrize("kind", [SumComposer, ConcatComposer])
@pytest.mark.parametrize("storage", STORAGE)
def test_factors(kind, storage, scramble):
    encoder = treed(kind, 3, storage=storage).double().eval()
    scramble(encoder)
    binary, basis = encoder.factors()
    torch.testing.assert_close(binary.to_dense() @ basis, encoder())


def test_codes_are_refined_toward_the_sums(scramble):
    """As with an ordinary codebook that holds the sums."""

    def refined(codes):
        return RefinedCoder(codes, step=2.0, every=1, start=0)

    tree = make(SumComposer(null_code=False, trees=TREES), coder=refined)
    plain = make(SumComposer(null_code=False), coder=refined)
    scramble(tree)
    plain.composer.load_stored(tree.composer.stored_tensors())
    target, before = torch.randn(NUM_NODES, DIM), tree.codes()
    for encoder in (tree, plain):
        torch.manual_seed(7)
        for epoch in range(3):
            (encoder() * target).sum().backward()
            encoder.coder.after_epoch(epoch, encoder.composer)
    assert torch.equal(tree.codes(), plain.codes())
    changed = (tree.codes() != before).any(dim=0)
    assert changed[[0, 2]].all()


@pytest.mark.parametrize("storage", STORAGE)
def test_codewords_can_be_set(storage):
    trees = treed(storage=storage).composer
    plain = make(SumComposer(null_code=False, storage=storage)).composer
    plain.set_codewords(torch.arange(33), trees.codebooks.weight.detach())
    step = 1e-6 if storage is None else 0.01  # of rounding, at most
    wanted, rows = torch.full((3, DIM), 0.125), torch.tensor([7, 25, 32])
    for composer in (trees, plain):
        composer.set_codewords(rows, wanted)
        words = composer.codebooks.weight
        torch.testing.assert_close(words[rows], wanted, rtol=0.0, atol=step)
    others = torch.ones(33, dtype=torch.bool).index_fill(0, rows, value=False)
    left, right = trees.codebooks.weight[others], plain.codebooks.weight[others]
    torch.testing.assert_close(left, right, rtol=0.0, atol=step)


# --- bad input ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trees", "error", "sentence"),
    [
        ((16, 16), TypeError, r"one branching such as \(16, 16\), or None, per pos"),
        ("12", TypeError, "one branching"),
        (5, TypeError, "one branching"),
        ((None, "ab"), TypeError, "one branching"),
        (((2.0, 2),), TypeError, r"trees of integers, got \(2\.0, 2\)"),
        (((True, 2),), TypeError, "trees of integers"),
        (((4, 1),), ValueError, "2 children or more"),
        (((4, -6), None), ValueError, "2 children or more"),
    ],
)
@pytest.mark.parametrize("kind", [SumComposer, ConcatComposer])
def test_no_branching(kind, trees, error, sentence):
    with pytest.raises(error, match=f"{kind.__name__} expects .*{sentence}"):
        kind(null_code=False, trees=trees)


@pytest.mark.parametrize(
    ("trees", "sentence"),
    [
        (((3, 2, 4), None), "2 trees for 3 positions; give one entry per position"),
        ((), "0 trees for 3 positions"),
        (((3, 2, 3), None, None), r"\(3, 2, 3\) with 18 leaves at position 0.*K = 24"),
        ((None, None, (3,)), r"3 leaves at position 2.*K = 4"),
        ((None, (), None), r"1 leaves at position 1.*K = 5"),
    ],
)
def test_trees_that_do_not_fit(trees, sentence):
    with pytest.raises(ValueError, match=f"SumComposer got .*{sentence}"):
        treed(trees=trees)


@pytest.mark.parametrize("options", [{}, {"shared": True, "null_code": False}])
def test_trees_need_codebooks_of_their_own(options):
    with pytest.raises(ValueError, match="shared=False and null_code=False"):
        SumComposer(trees=TREES, **options)


def test_configuration_and_repr():
    composer = SumComposer(3, null_code=False, trees=[[3, 2, 4], None, [2, 2]])
    assert composer.config["trees"] == TREES
    assert SumComposer(**composer.config).config == composer.config
    assert "trees=((3, 2, 4), None, (2, 2))" in repr(composer)
