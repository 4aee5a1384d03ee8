"""Codes that the place of a node tells, against codes that are stored."""

import copy
import itertools
import math

import numpy as np
import pytest
import torch

from kdgraph import KDEmbedding
from kdgraph.code_stats import code_stats
from kdgraph.coders import FixedCoder
from kdgraph.codes import CodeTable, PlaceMap, Prefix, random_codes

KINDS = ("levels", "digits")
# Six leaves: one is empty, one has a single node.
BOUNDARIES = torch.tensor([0, 3, 3, 4, 7, 9, 12])


def paths(branching, kind):
    """The codes of each leaf, by counting."""
    every = list(itertools.product(*(range(child) for child in branching)))
    if kind == "digits":
        return [list(path) for path in every]
    found = []
    for path in every:
        number, row = 0, []
        for digit, child in zip(path, branching, strict=True):
            number = number * child + digit
            row.append(number)
        found.append(row)
    return found


def table_of(kind="levels", positions=2):
    """12 nodes of a 2 x 3 prefix, and so many positions of 5 choices beside."""
    prefix = Prefix(BOUNDARIES, (2, 3), kind)
    if positions == 0:
        return CodeTable.from_prefix(prefix)
    return random_codes(12, positions, 5).prefixed(prefix)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("branching", [(2, 3), (6,), (3, 2), (2, 2, 5), (7, 3)])
def test_codes_are_the_path_of_the_leaf(kind, branching):
    leaves = torch.randint(math.prod(branching), (50,))
    prefix, order = Prefix.of_leaves(leaves, branching, kind)
    expected = torch.tensor(paths(branching, kind))[leaves[order]]
    assert torch.equal(prefix(), expected)
    rows = torch.randint(50, (20,))
    assert torch.equal(prefix(rows), expected[rows])
    assert prefix(rows[:0]).shape == (0, len(branching))
    assert (expected.max(dim=0).values < torch.tensor(prefix.codebook_sizes)).all()
    assert order.tolist() == sorted(range(50), key=lambda node: int(leaves[node]))


def test_boundaries_by_hand():
    prefix = Prefix(BOUNDARIES.numpy(), (2, 3))
    assert prefix.codebook_sizes == (2, 6)
    assert prefix()[:, 1].tolist() == [0, 0, 0, 2, 3, 3, 3, 4, 4, 5, 5, 5]
    assert prefix()[:, 0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]
    digits = Prefix(BOUNDARIES, (2, 3), "digits")
    assert digits()[:, 1].tolist() == [0, 0, 0, 2, 0, 0, 0, 1, 1, 2, 2, 2]
    assert repr(digits) == "Prefix(12, branching=(2, 3), kind='digits')"


def test_empty_leaves_at_the_ends():
    prefix = Prefix(torch.tensor([0, 0, 2, 2, 3, 3]), (5,))
    assert prefix().flatten().tolist() == [1, 1, 3]


def test_places_are_counted_in_digits():
    prefix = Prefix([0, 50], (3, 4, 5), "place")
    every = list(itertools.product(range(3), range(4), range(5)))
    assert prefix().tolist() == [list(digits) for digits in every[:50]]
    assert prefix(torch.tensor([49, 7])).tolist() == [[2, 1, 4], [0, 1, 2]]
    assert prefix.codebook_sizes == (3, 4, 5)
    # 0 and the number of nodes.
    assert prefix.nbytes == 8
    # More digits than 32 bits count.
    huge = Prefix([0, 1 << 20], (1 << 16, 1 << 16, 1 << 16), "place")
    assert huge(torch.tensor([(1 << 20) - 1])).tolist() == [[0, 15, 65535]]


@pytest.mark.parametrize("kind", ["levels", "digits", "place"])
def test_rows_out_of_range_have_codes_out_of_range(kind):
    boundaries = [0, 5] if kind == "place" else [0, 1, 2, 3, 4, 5, 5]
    prefix = Prefix(boundaries, (2, 3), kind)
    for row in (-1, -9, 5, 6, 1 << 40):
        try:
            first = int(prefix(torch.tensor([row]))[0, 0])
        except IndexError:
            continue
        assert not 0 <= first < 2, row


def test_boundaries_take_what_they_need():
    assert table_of().prefix.nbytes == 7 * 4
    huge = Prefix(torch.tensor([0, 5, 1 << 33]), (2,))
    assert huge.nbytes == 3 * 8
    assert huge(torch.tensor([4, 5, (1 << 33) - 1])).flatten().tolist() == [0, 1, 1]


def test_what_was_checked_stays():
    boundaries = BOUNDARIES.int()
    prefix = Prefix(boundaries, (2, 3))
    boundaries.zero_()
    assert prefix.boundaries.tolist() == BOUNDARIES.tolist()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("positions", [0, 1, 3])
def test_a_table_with_a_prefix_is_the_table(kind, positions):
    table = table_of(kind, positions)
    explicit = table.explicit()
    assert explicit.prefix is None
    assert torch.equal(table.codes(), explicit.codes())
    assert table.codebook_sizes == explicit.codebook_sizes
    rows = torch.tensor([11, 0, 3, 3])
    assert torch.equal(table.codes(rows), explicit.codes(rows))
    # Three bits a position, whole bytes a row, seven boundaries of four bytes.
    assert table.nbytes == 12 * math.ceil(3 * positions / 8) + 28
    assert code_stats(table) == code_stats(explicit)
    assert explicit.explicit() is explicit


@pytest.mark.parametrize("positions", [0, 2])
def test_an_encoder_of_implicit_codes(positions):
    table = table_of(positions=positions)
    options = {"composer": "sum"}
    told = KDEmbedding(12, 8, coder=FixedCoder(table), **options)
    stored = KDEmbedding(12, 8, coder=FixedCoder(table.explicit()), **options)
    stored.composer.load_state_dict(told.composer.state_dict())
    assert torch.equal(told(), stored())
    ids = torch.tensor([[3, 11], [0, 3]])
    assert torch.equal(told(ids), stored(ids))
    assert torch.equal(told.codes(ids), stored.codes(ids))
    assert told.code_table().nbytes == table.nbytes
    codebooks = (2 + 6 + 5 * positions) * 8 * 4
    assert told.inference_bytes() == table.nbytes + codebooks
    assert told.training_bytes() == table.nbytes + 4 * codebooks + (2 + positions) * 8
    assert told.code_stats() == stored.code_stats()
    for made in (told, stored):
        made(ids).sum().backward()
    assert torch.equal(told.composer.weight.grad, stored.composer.weight.grad)
    other = copy.deepcopy(told)
    other.coder.prefix.boundaries.zero_()
    other.load_state_dict(told.state_dict())
    assert torch.equal(other(), told())


def test_wider_alphabets_after_a_prefix():
    table = table_of()
    encoder = KDEmbedding(
        12, 8, codebook_size=[2, 6, 16, 8], coder=FixedCoder(table), composer="sum"
    )
    assert torch.equal(encoder.codes(), table.codes())
    assert encoder.inference_bytes() == 12 * 1 + 28 + (2 + 6 + 16 + 8) * 8 * 4
    with pytest.raises(ValueError, match=r"prefix of K = \(2, 6\), but .* explicit"):
        KDEmbedding(12, 8, codebook_size=8, coder=FixedCoder(table), composer="sum")
    with pytest.raises(ValueError, match=r"K = \(2, 6\) and no other"):
        table.repacked([3, 6, 5, 5])
    none = table_of(positions=0)
    assert none.repacked([2, 6]) is none


BAD_ROWS = ([0, -1], [12, 3], [1 << 32, 0], [-(1 << 33), 0])


@pytest.mark.parametrize("positions", [0, 2])
@pytest.mark.parametrize("bad", BAD_ROWS)
def test_rows_out_of_range_do_not_pass(positions, bad):
    table = table_of(positions=positions)
    encoder = KDEmbedding(12, 8, coder=FixedCoder(table), composer="sum").export()
    torch.compiler.reset()
    compiled = torch.compile(encoder, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(torch.arange(3)), encoder(torch.arange(3)))
    for call in (table.codes, encoder, encoder.codes, compiled):
        with pytest.raises(IndexError):
            call(torch.tensor(bad))


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: Prefix(BOUNDARIES, (2, 3), "path"), ValueError, "of .*, got 'path'"),
        (
            lambda: Prefix([0, 7], (2, 3), "place"),
            ValueError,
            "at most 6 places, got 7",
        ),
        (lambda: Prefix(BOUNDARIES, (2, 3), "place"), ValueError, "2 boundaries for 1"),
        (lambda: Prefix(BOUNDARIES, ()), ValueError, "at least 2 children"),
        (lambda: Prefix(BOUNDARIES, (6, 1)), ValueError, r"2 children .* \(6, 1\)"),
        (lambda: Prefix(BOUNDARIES, (2.0, 3)), TypeError, "integers, got 2.0"),
        (lambda: Prefix(BOUNDARIES.float(), (2, 3)), TypeError, "torch.float32"),
        (lambda: Prefix(BOUNDARIES, (2, 2)), ValueError, "5 boundaries for 4 leaves"),
        (lambda: Prefix(BOUNDARIES + 1, (2, 3)), ValueError, "from 1 to 13"),
        (lambda: Prefix(BOUNDARIES * 0, (2, 3)), ValueError, "from 0 to 0"),
        (
            lambda: Prefix(torch.tensor([0, 5, 4, 6]), (3,)),
            ValueError,
            "never fall, got 5 before 4 at leaf 1",
        ),
        (
            lambda: Prefix.of_leaves(torch.tensor([0, 6]), (2, 3)),
            ValueError,
            r"leaves in \[0, 6\), got leaves from 0 to 6",
        ),
        (
            lambda: Prefix.of_leaves(torch.tensor([-1, 2]), (2, 3)),
            ValueError,
            "from -1 to 2",
        ),
        (
            lambda: Prefix.of_leaves(torch.zeros(2, 2).long(), (2, 3)),
            ValueError,
            r"shape \(2, 2\)",
        ),
        (
            lambda: random_codes(13, 2, 5).prefixed(table_of().prefix),
            ValueError,
            "13 nodes and a prefix of 12",
        ),
        (
            lambda: table_of().prefixed(table_of().prefix),
            ValueError,
            "have a prefix already",
        ),
        (
            lambda: CodeTable(table_of().packed, (2, 7, 5, 5), table_of().prefix),
            ValueError,
            r"got one for \(2, 6\)",
        ),
        (
            lambda: CodeTable(table_of().packed, (2,), table_of().prefix),
            ValueError,
            r"got one for \(2, 6\)",
        ),
        (
            lambda: CodeTable(table_of().packed, (2, 6), table_of().prefix),
            ValueError,
            r"rows \[N, 0\] for K = \(\)",
        ),
        (
            lambda: Prefix(
                BOUNDARIES, (2, 3), places=PlaceMap.from_places(torch.arange(5))
            ),
            ValueError,
            "a map of 5 nodes and boundaries of 12",
        ),
        (
            lambda: table_of().reordered(torch.arange(11)),
            ValueError,
            "order of 12 nodes, got one of 11",
        ),
        (
            lambda: table_of().prefix.reordered(torch.arange(13)),
            ValueError,
            "order of 12 nodes, got one of 13",
        ),
        (
            lambda: random_codes(12, 2, 5).reordered(torch.arange(11)),
            ValueError,
            "order of 12 nodes, got one of 11",
        ),
        (
            lambda: random_codes(12, 2, 5).reordered(torch.zeros(12).long()),
            ValueError,
            "holds each once",
        ),
    ],
)
def test_what_does_not_fit(build, error, message):
    with pytest.raises(error, match=message):
        build()


def test_reordered_rows():
    table = random_codes(12, 2, 5)
    order = torch.randperm(12)
    assert torch.equal(table.reordered(order).codes(), table.codes()[order])
    assert torch.equal(
        table.reordered(order.numpy().astype(np.int32)).codes(), table.codes()[order]
    )


@pytest.mark.parametrize("positions", [0, 2])
@pytest.mark.parametrize("kind", ["levels", "digits"])
def test_reordered_ids_of_implied_codes(positions, kind):
    """The map follows whatever ids there are, and is gone where ids are places."""
    table = table_of(kind, positions=positions)
    codes, first, second = table.codes(), torch.randperm(12), torch.randperm(12)
    once = table.reordered(first)
    assert torch.equal(once.codes(), codes[first])
    assert torch.equal(once.codes(torch.tensor([7, 7, 0])), codes[first][[7, 7, 0]])
    assert torch.equal(once.explicit().codes(), codes[first])
    twice = once.reordered(second.int().numpy())
    assert torch.equal(twice.codes(), codes[first[second]])
    # 4 bits for each of 12 nodes.
    assert once.nbytes == twice.nbytes == table.nbytes + 6
    assert torch.equal(once.prefix.order(), first.argsort())
    back = once.reordered(once.prefix.order())
    assert back.prefix.places is None
    assert torch.equal(back.packed, table.packed)
    assert torch.equal(table.prefix.order(), torch.arange(12))


@pytest.mark.parametrize("bad", BAD_ROWS)
def test_mapped_ids_out_of_range_do_not_pass(bad):
    table = table_of(positions=0).reordered(torch.arange(12).flip(0))
    encoder = KDEmbedding(12, 8, coder=FixedCoder(table), composer="sum").export()
    torch.compiler.reset()
    compiled = torch.compile(encoder, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(torch.arange(3)), encoder(torch.arange(3)))
    for call in (table.codes, encoder, encoder.codes, compiled):
        with pytest.raises(IndexError):
            call(torch.tensor(bad))


def test_the_explicit_copy_is_counted_and_kept_up():
    table = table_of().reordered(torch.arange(12).flip(0))
    encoder = KDEmbedding(12, 8, coder=FixedCoder(table), composer="sum")
    before = encoder.training_bytes()
    features = encoder.coded()
    # Positions of 1, 3, 3 and 3 bits: two bytes a node.
    assert encoder.training_bytes() == before + 12 * 2
    assert torch.equal(features.dense(), encoder())
    assert "rows" not in "".join(encoder.state_dict())
    encoder.coder.packed.copy_(encoder.coder.packed.flip(0))
    assert torch.equal(encoder.coded().dense(), encoder())
    assert encoder.training_bytes() == before + 12 * 2
