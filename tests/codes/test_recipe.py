"""CodeRecipe: a line of text, its bytes by hand, and the codes it builds."""

import itertools

import pytest
import torch

from kdgraph.codes import (
    CodeRecipe,
    hash_codes,
    partition_codes,
    partition_graph,
    projection_codes,
    spectral_codes,
)
from kdgraph.data import sbm

SEEDS_APART = 128
"""Of one seed of a recipe to the next, so that no two parts share theirs."""


@pytest.fixture(scope="module")
def adj():
    return sbm(num_nodes=300, num_classes=3, seed=0).adj


@pytest.mark.parametrize(
    "text",
    [
        "tree:16x16",
        "order:16x16x16",
        "levels:4x3",
        "digits:2x3x5",
        "spectral:8x256",
        "hash:3x7+projection:2x5+random:1x2",
        "order:4x4+tree:3x3+levels:2x2+digits:2x2+spectral:4x64",
        "place:7x7x7+spectral:2x8",
    ],
)
def test_text_is_read_and_written(text: str) -> None:
    recipe = CodeRecipe.parse(text)
    assert str(recipe) == text
    assert CodeRecipe.parse(str(recipe)) == recipe
    assert CodeRecipe.is_recipe(text)


def test_spaces_around_parts_do_not_matter() -> None:
    spaced = CodeRecipe.parse(" tree:4x4 + spectral:2x8 ")
    assert spaced == CodeRecipe.parse("tree:4x4+spectral:2x8")


@pytest.mark.parametrize("text", ["codes.npy", "random", "compact", "a/b.npz", "tree"])
def test_files_and_words_are_no_recipes(text: str) -> None:
    assert not CodeRecipe.is_recipe(text)


def test_sizes_by_hand() -> None:
    recipe = CodeRecipe.parse("tree:4x5+levels:2x3x4+digits:2x3+spectral:2x9+hash:1x7")
    assert recipe.codebook_sizes == (20, 2, 6, 24, 2, 3, 9, 9, 7)
    assert recipe.trees == ((4, 5), *[None] * 8)
    assert recipe.movable == (6, 7, 8)
    # 5 + 1 + 3 + 5 + 1 + 2 + 4 + 4 + 3 bits.
    assert recipe.row_bytes == 4
    assert not recipe.ordered
    assert recipe.stored_bytes(1000) == 4000


def test_an_order_costs_its_boundaries_and_a_map() -> None:
    recipe = CodeRecipe.parse("order:16x16+tree:8x8+spectral:4x64")
    assert recipe.codebook_sizes == (256, 64, 64, 64, 64, 64)
    assert recipe.trees == ((16, 16), (8, 8), None, None, None, None)
    assert recipe.movable == (2, 3, 4, 5)
    assert recipe.ordered
    # 5 x 6 bits, and 257 boundaries of 4 bytes.
    assert recipe.row_bytes == 4
    # 10 bits for each of 1,000 nodes, 20 for each of a million.
    assert recipe.stored_bytes(1000) == 4 * 1000 + 4 * 257 + 1250
    assert recipe.stored_bytes(1000, in_order=True) == 4 * 1000 + 4 * 257
    order = CodeRecipe.parse("order:16x16")
    assert order.stored_bytes(10**6) == 4 * 257 + 2_500_000
    assert order.stored_bytes(10**6, in_order=True) == 4 * 257


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "'' is no part of a code"),
        ("tree:", "'tree:' is no part"),
        ("tree:4x4+", "'' is no part"),
        ("tree:4,4", "no part"),
        ("tree:4x-4", "no part"),
        ("Tree:4x4", "no part"),
        ("forest:4x4", "'forest:4x4' is no part of a code; .* of tree, order, levels"),
        ("spectral:4", "'spectral:4' needs two numbers.* 'spectral:4x64'"),
        ("hash:4x4x4", "'hash:4x4x4' needs two numbers"),
        ("spectral:0x4", "'spectral:0x4' has a number below 1"),
        ("tree:1", "codebook sizes lie in .* got 1"),
        ("spectral:4x1", "codebook sizes lie in .* got 1"),
        ("tree:256x257", "codebook sizes lie in .* got 65792"),
        ("spectral:2x4+order:4x4", "'order' comes first.* got it as part 2; take 'tre"),
        ("hash:2x4+place:4x4", "'place' comes first.* got it as part 2; take 'digits'"),
        ("place:64", "'place:64' needs a number for clusters and one .* 'place:64x64'"),
    ],
)
def test_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        CodeRecipe.parse(text)


@pytest.mark.parametrize("seed", [0, 3])
def test_positions_are_those_of_each_part_alone(adj, seed: int) -> None:
    recipe = CodeRecipe.parse(
        "tree:4x3+levels:3x2+digits:2x5+spectral:2x9+hash:2x7+projection:2x8"
    )
    own = itertools.count(seed * SEEDS_APART)
    expected = [
        partition_codes(adj, (4, 3), seed=next(own)).codes()[:, 1:],
        partition_codes(adj, (3, 2), seed=next(own)).codes(),
        partition_codes(adj, (2, 5), kind="digits", seed=next(own)).codes(),
        spectral_codes(adj, 2, 9, seed=next(own)).codes(),
        hash_codes(300, 2, 7, seed=next(own)).codes(),
        projection_codes(adj, 2, 8, seed=next(own)).codes(),
    ]
    built = recipe.build(adj, seed=seed)
    assert built.rows is None
    assert built.codes.codebook_sizes == recipe.codebook_sizes
    assert torch.equal(built.codes.codes(), torch.cat(expected, dim=1))


def test_codes_of_an_order_are_those_of_the_nodes(adj) -> None:
    built = CodeRecipe.parse("order:4x4+tree:3x3+spectral:2x8").build(adj, seed=1)
    own = SEEDS_APART
    expected = torch.cat(
        [
            torch.from_numpy(partition_graph(adj, (4, 4), seed=own).leaves())[:, None],
            partition_codes(adj, (3, 3), seed=own + 1).codes()[:, 1:],
            spectral_codes(adj, 2, 8, seed=own + 2).codes(),
        ],
        dim=1,
    )
    assert built.rows is not None
    assert built.rows.sort().values.tolist() == list(range(300))
    assert torch.equal(built.codes.codes(), expected)
    moved = built.codes.reordered(built.rows)
    assert torch.equal(moved.codes(), expected[built.rows])
    # 300 nodes of 9 bits.
    assert moved.nbytes == built.codes.nbytes - 338


def test_places_are_those_of_a_partition(adj) -> None:
    recipe = CodeRecipe.parse("place:4x5x16+hash:1x7")
    built = recipe.build(adj, seed=2)
    order = partition_graph(adj, (4, 5), seed=2 * SEEDS_APART).order
    assert built.rows is not None
    assert built.rows.tolist() == order.tolist()
    codes = built.codes.codes()
    places = torch.arange(300)
    found = codes[:, 0] * 80 + codes[:, 1] * 16 + codes[:, 2]
    assert torch.equal(found[built.rows], places)
    hashes = hash_codes(300, 1, 7, seed=2 * SEEDS_APART + 1).codes()
    assert torch.equal(codes[:, 3:], hashes)
    assert recipe.trees == (None,) * 4
    assert recipe.movable == (3,)
    # Two ends of 4 bytes, 3 bits a node in a byte, and 9 bits a node of the map.
    assert built.codes.nbytes == recipe.stored_bytes(300) == 8 + 300 + 338
    assert recipe.stand_in(300).nbytes == 646
    assert recipe.stand_in(300, in_order=True).nbytes == 308


def test_more_nodes_than_places_are_told_at_once() -> None:
    class Counted:
        shape = (300, 300)

    with pytest.raises(ValueError, match=r"at most 280 places, got 300 nodes"):
        CodeRecipe.parse("place:4x5x14").build(Counted())


def test_an_order_alone_stores_nothing_but_a_map(adj) -> None:
    recipe = CodeRecipe.parse("order:4x4")
    built = recipe.build(adj)
    leaves = torch.from_numpy(partition_graph(adj, (4, 4)).leaves())
    assert built.rows is not None
    assert torch.equal(built.codes.codes()[:, 0], leaves)
    assert built.codes.nbytes == recipe.stored_bytes(300) == 4 * 17 + 338


@pytest.mark.parametrize("kind", ["tree", "spectral", "hash", "random"])
def test_equal_parts_are_independent(adj, kind: str) -> None:
    part = f"{kind}:1x16" if kind != "tree" else "tree:4x4"
    codes = CodeRecipe.parse(f"{part}+{part}").build(adj).codes.codes()
    assert not torch.equal(codes[:, 0], codes[:, 1])
    pairs = codes.unique(dim=0)
    # One is no renaming of the other.
    assert len(pairs) > 1.5 * len(codes[:, 0].unique())


@pytest.mark.parametrize("text", ["tree:4x4+spectral:2x8+random:1x4", "order:4x4"])
def test_the_seed_decides(adj, text: str) -> None:
    recipe, state = CodeRecipe.parse(text), torch.get_rng_state()
    first, again, other = (recipe.build(adj, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.codes.codes(), again.codes.codes())
    if first.rows is None:
        assert not torch.equal(first.codes.codes(), other.codes.codes())
    else:
        assert torch.equal(first.rows, again.rows)
        assert not torch.equal(first.rows, other.rows)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    "text", ["tree:4x4+spectral:2x8", "order:4x4", "order:3x3+tree:2x3+hash:3x5"]
)
def test_bytes_and_stand_in_are_those_of_the_codes(adj, text: str) -> None:
    recipe = CodeRecipe.parse(text)
    built = recipe.build(adj).codes
    assert recipe.stored_bytes(300) == built.nbytes
    stand_in = recipe.stand_in(300)
    assert stand_in.codebook_sizes == built.codebook_sizes
    assert stand_in.packed_sizes == built.packed_sizes
    assert stand_in.nbytes == built.nbytes
    assert not stand_in.codes().any()


def test_spectral_parts_quantise_the_vectors_they_are_given(adj) -> None:
    recipe = CodeRecipe.parse("tree:4x4+spectral:2x8")
    vectors = torch.randn(300, 6, generator=torch.Generator().manual_seed(0))
    codes = recipe.build(adj, vectors=vectors).codes.codes()
    alone = spectral_codes(adj, 2, 8, vectors=vectors, seed=1).codes()
    assert torch.equal(codes[:, 1:], alone)
    assert not torch.equal(recipe.build(adj).codes.codes()[:, 1:], alone)


def test_progress_rises_to_the_end(adj) -> None:
    seen: list[tuple[float, str]] = []
    CodeRecipe.parse("tree:4x4+spectral:2x8").build(
        adj, progress=lambda *step: seen.append(step)
    )
    done = [fraction for fraction, _ in seen]
    assert all(before <= after for before, after in itertools.pairwise(done))
    assert done[-1] == pytest.approx(1.0)
    assert min(done) < 0.5 < max(done)
    assert len({stage for _, stage in seen}) > 1


def test_a_graph_too_small_says_so(adj) -> None:
    with pytest.raises(ValueError, match="no more clusters than nodes, got 400"):
        CodeRecipe.parse("tree:20x20").build(adj)
    with pytest.raises(ValueError, match="at most 300"):
        CodeRecipe.parse("spectral:1x301").build(adj)
