"""PackedEmbedding: what is saved is what is loaded, bit for bit."""

import copy
import os
import pickle
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import torch

from kdgraph import KDEmbedding, PackedEmbedding
from kdgraph.artifact import read_artifact
from kdgraph.coders import CODERS, Coder, FixedCoder, RefinedCoder, ThresholdCoder
from kdgraph.codes import CodeTable, Prefix, random_codes
from kdgraph.composers import (
    COMPOSERS,
    Composer,
    ConcatComposer,
    LinearComposer,
    MLPComposer,
    SumComposer,
)

SOME = torch.tensor([[36, 0], [7, 7]])


def encoder_of(
    coder: type[Coder] = FixedCoder, composer: Composer | None = None
) -> KDEmbedding:
    """37 nodes, 8 channels, K = 5 where the coder allows it."""
    encoder = KDEmbedding(
        37,
        8,
        num_codebooks=4,
        codebook_size=2 if coder is ThresholdCoder else 5,
        coder=coder(),
        composer=composer or ConcatComposer(),
    )
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.uniform_(-1, 1)
    return encoder.eval()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize(
    ("coder", "composer"),
    [
        (coder, composer)
        for coder in CODERS
        for composer in COMPOSERS
        # The one that refines needs vectors that are a sum over positions.
        if coder is not RefinedCoder or issubclass(composer, LinearComposer)
    ],
)
def test_loaded_vectors_are_the_same(
    tmp_path: Path, coder: type[Coder], composer: type[Composer], dtype: torch.dtype
) -> None:
    """For every coder, composer and element type, in memory and from a file."""
    encoder = encoder_of(coder, composer(norm="batch")).to(dtype)
    path = tmp_path / "model.kdg.safetensors"
    encoder.export().save(path)
    for verify in (True, False):
        loaded = PackedEmbedding.load(path, verify=verify)
        assert loaded().dtype == dtype
        assert torch.equal(loaded(), encoder())
        assert torch.equal(loaded(SOME), encoder(SOME))
        assert torch.equal(loaded.codes(), encoder.codes())
        assert loaded.inference_bytes() == encoder.inference_bytes()
        assert repr(loaded.composer) == repr(encoder.composer)
        assert not any(weight.requires_grad for weight in loaded.parameters())
        assert not loaded.training


@pytest.mark.parametrize(
    "composer",
    [
        SumComposer(code_dim=3),
        SumComposer(shared=True, norm="layer"),
        SumComposer(code_dim=3, storage="int8"),
        MLPComposer(pool="mean", norm="batch", storage="bfloat16"),
        ConcatComposer(code_dim=3, shared=True),
        MLPComposer(hidden_dim=6, num_layers=3, pool="mean", norm="batch"),
    ],
    ids=repr,
)
def test_composer_options_survive(tmp_path: Path, composer: Composer) -> None:
    """Every constructor argument is stored."""
    encoder = encoder_of(composer=copy.deepcopy(composer))
    encoder.export().save(tmp_path / "a")
    loaded = PackedEmbedding.load(tmp_path / "a")
    assert loaded.composer.config == composer.config
    assert torch.equal(loaded(), encoder())


STORED = [
    lambda storage: SumComposer(storage=storage),
    lambda storage: SumComposer(code_dim=3, norm="batch", storage=storage),
    lambda storage: ConcatComposer(code_dim=2, shared=True, storage=storage),
    lambda storage: MLPComposer(num_layers=2, norm="layer", storage=storage),
]


@pytest.mark.parametrize("make", STORED)
@pytest.mark.parametrize("storage", ["bfloat16", "int8"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_rounded_codebooks_decode_the_same(
    tmp_path: Path,
    make: Callable[[str], Composer],
    storage: str,
    dtype: torch.dtype,
) -> None:
    """The file holds what was used, in 16 or 8 bits, and gives the same floats."""
    encoder = encoder_of(composer=make(storage)).to(dtype)
    packed = encoder.export()
    packed.save(tmp_path / "a")
    loaded = PackedEmbedding.load(tmp_path / "a")
    assert loaded().dtype == dtype
    assert torch.equal(packed(), encoder())
    assert torch.equal(loaded(), encoder())
    assert torch.equal(loaded(SOME), encoder(SOME))
    assert loaded.inference_bytes() == encoder.inference_bytes()
    artifact = read_artifact(tmp_path / "a")
    narrow = torch.int8 if storage == "int8" else torch.bfloat16
    assert artifact.tensors["composer.weight"][0] == narrow
    assert artifact.file_bytes == (tmp_path / "a").stat().st_size
    loaded.save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


BRANCHING = (2, 3)


def implicit(positions: int, kind: Literal["levels", "digits"]) -> CodeTable:
    """37 nodes in the order of a partition, with so many positions beside."""
    leaves = torch.randint(5, (37,))  # the sixth is empty
    prefix, _ = Prefix.of_leaves(leaves, BRANCHING, kind)
    if positions == 0:
        return CodeTable.from_prefix(prefix)
    return random_codes(37, positions, 5).prefixed(prefix)


@pytest.mark.parametrize("positions", [0, 3])
@pytest.mark.parametrize("kind", ["levels", "digits"])
@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("verify", [False, True])
def test_implicit_codes_survive(
    tmp_path: Path,
    positions: int,
    kind: Literal["levels", "digits"],
    ordered: bool,
    verify: bool,
) -> None:
    """Codes that no file holds, with and without the way back to original ids."""
    table = implicit(positions, kind)
    encoder = KDEmbedding(37, 8, coder=FixedCoder(table), composer="sum").eval()
    order = torch.randperm(37) if ordered else torch.arange(37)
    packed = encoder.export(order if ordered else None)
    assert torch.equal(packed()[order], encoder())
    packed.save(tmp_path / "a")
    loaded = PackedEmbedding.load(tmp_path / "a", verify=verify)
    assert torch.equal(loaded()[order], encoder())
    assert torch.equal(loaded(SOME), packed()[SOME])
    assert torch.equal(loaded.codes()[order], table.codes())
    assert torch.equal(loaded.code_table().codes()[order], table.codes())
    assert ("PlaceMap(37, bits=6)" in repr(loaded)) is ordered
    assert loaded.code_stats() == encoder.code_stats()
    # 9 bits of three positions in 2 bytes, 7 boundaries, 37 places of 6 bits.
    codewords = sum(table.codebook_sizes)
    stored = 37 * 2 * (positions > 0) + 7 * 4 + 28 * ordered + codewords * 8 * 4
    assert loaded.inference_bytes() == packed.inference_bytes() == stored
    artifact = read_artifact(tmp_path / "a")
    assert artifact.inference_bytes == stored
    assert artifact.map_bytes == 28 * ordered
    assert artifact.file_bytes == (tmp_path / "a").stat().st_size
    loaded.save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_original_ids_compiled(tmp_path: Path) -> None:
    """One graph, and no way around the check of ids."""
    encoder = KDEmbedding(
        37, 8, coder=FixedCoder(implicit(0, "levels")), composer="sum"
    )
    encoder.export(torch.randperm(37)).save(tmp_path / "a")
    loaded = PackedEmbedding.load(tmp_path / "a")
    compiled = torch.compile(loaded, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(SOME), loaded(SOME))
    for bad in (-1, 37):
        with pytest.raises(IndexError):
            compiled(torch.tensor([0, bad]))


def test_orders_of_other_nodes_or_none() -> None:
    encoder = encoder_of()
    with pytest.raises(ValueError, match="37 nodes, got one of 38"):
        encoder.export(torch.arange(38))
    with pytest.raises(ValueError, match="holds each once, got none at 1"):
        encoder.export(torch.zeros(37, dtype=torch.long))
    with pytest.raises(TypeError, match="is of integers"):
        encoder.export(torch.rand(37))
    order = torch.randperm(37)
    packed = encoder.export(order)
    assert torch.equal(packed()[order], encoder())
    # Codes that are stored are put in another order, which costs nothing.
    assert packed.inference_bytes() == encoder.inference_bytes()


def test_a_mixed_alphabet_survives(tmp_path: Path) -> None:
    """Positions of different width, with bits that cross bytes."""
    sizes = (3, 65536, 2, 17)
    table = random_codes(50, 4, sizes)
    encoder = KDEmbedding(50, 8, coder=FixedCoder(table), composer="sum").export()
    encoder.save(tmp_path / "a")
    loaded = PackedEmbedding.load(tmp_path / "a")
    assert loaded.codebook_sizes == sizes
    assert torch.equal(loaded(), encoder())


def test_loading_leaves_the_random_state_alone(tmp_path: Path) -> None:
    """Building the composer draws numbers that are thrown away."""
    encoder_of(composer=MLPComposer()).export().save(tmp_path / "a")
    before = torch.get_rng_state()
    PackedEmbedding.load(tmp_path / "a")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_default_device_does_not_leak_in(tmp_path: Path) -> None:
    """Everything lies on the CPU until moved."""
    encoder = encoder_of()
    encoder.export().save(tmp_path / "a")
    with torch.device("meta"):
        loaded = PackedEmbedding.load(tmp_path / "a")
    assert torch.equal(loaded(), encoder())


def test_copies(tmp_path: Path) -> None:
    """state_dict, deepcopy and pickle of a loaded encoder."""
    encoder = encoder_of()
    encoder.export().save(tmp_path / "a")
    loaded = PackedEmbedding.load(tmp_path / "a")
    expected = loaded()
    assert torch.equal(copy.deepcopy(loaded)(), expected)
    assert torch.equal(pickle.loads(pickle.dumps(loaded))(), expected)
    other = encoder_of().export()
    other.load_state_dict(loaded.state_dict())
    assert torch.equal(other(), expected)
    # Into the mapped codes, too: the map is private.
    state = loaded.state_dict()
    state |= {key: torch.zeros_like(item) for key, item in loaded.named_buffers()}
    state |= {key: torch.zeros_like(item) for key, item in loaded.named_parameters()}
    state.pop("composer.offsets")
    content = (tmp_path / "a").read_bytes()
    loaded.load_state_dict(state)
    assert not loaded().any()
    assert (tmp_path / "a").read_bytes() == content


@pytest.mark.parametrize("verify", [True, False])
def test_compiles_without_graph_breaks(tmp_path: Path, verify: bool) -> None:
    """The whole decoding is one graph."""
    encoder_of(composer=MLPComposer(norm="batch")).export().save(tmp_path / "a")
    loaded = PackedEmbedding.load(tmp_path / "a", verify=verify)
    compiled = torch.compile(loaded, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(SOME), loaded(SOME))


def test_the_file_may_be_replaced_and_saved_over(tmp_path: Path) -> None:
    """A loaded encoder keeps its codes, even when it is saved over its own file."""
    path = tmp_path / "a"
    first, second = encoder_of().export(), encoder_of().export()
    first.save(path)
    loaded = PackedEmbedding.load(path)
    second.save(path)
    assert torch.equal(loaded(), first())
    loaded.save(path)
    assert torch.equal(PackedEmbedding.load(path)(), first())
    path.unlink()
    assert torch.equal(loaded(), first())


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("verify", [True, False])
def test_codes_are_mapped(tmp_path: Path, verify: bool) -> None:
    """Loading 64 MB of codes leaves them on disk until asked for."""
    path = tmp_path / "large.kdg.safetensors"
    table = CodeTable(torch.zeros(1 << 22, 16, dtype=torch.uint8), [256] * 16)
    composer = ConcatComposer()
    composer.bind(table.codebook_sizes, 16)
    PackedEmbedding(table, composer).save(path)
    assert path.stat().st_size > 1 << 26
    del table
    before = resident_bytes()
    loaded = PackedEmbedding.load(path, verify=verify)
    assert os.fspath(path) in Path("/proc/self/maps").read_text()
    assert loaded(torch.tensor([0, (1 << 22) - 1])).shape == (2, 16)
    assert resident_bytes() - before < 1 << 24


def resident_bytes() -> int:
    """What this process holds in memory now, mapped pages included."""
    status = Path("/proc/self/status").read_text()
    match = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert match is not None
    return 1024 * int(match[1])
