"""Codes that are given."""

import numpy as np
import pytest
import torch

from kdgraph import KDEmbedding
from kdgraph.coders import FixedCoder
from kdgraph.codes import CodeTable, compact_codes, random_codes

CODES = torch.tensor([[0, 4, 1], [2, 0, 0], [1, 3, 1], [0, 0, 0]])


def make(codes, num_nodes=4, **options):
    options.setdefault("composer", "sum")
    return KDEmbedding(num_nodes, 6, coder=FixedCoder(codes), **options)


def test_a_tensor_tells_its_sizes():
    encoder = make(CODES)
    assert torch.equal(encoder.codes(), CODES)
    assert encoder.codebook_sizes == (3, 5, 2)
    assert repr(encoder.coder) == "FixedCoder(given)"


def test_a_table_and_its_alphabets():
    table = CodeTable.from_codes(CODES, [4, 8, 2])
    encoder = make(table)
    assert encoder.codebook_sizes == (4, 8, 2)
    assert torch.equal(encoder.codes(), CODES)


@pytest.mark.parametrize("kind", ["npy", "npz", "npz with sizes"])
@pytest.mark.parametrize("as_text", [True, False])
def test_a_file(tmp_path, kind, as_text):
    path = tmp_path / f"codes.{kind[:3]}"
    array = CODES.numpy().astype(np.uint16)
    if kind == "npy":
        np.save(path, array)
    elif kind == "npz":
        np.savez(path, codes=array)
    else:
        np.savez(path, codes=array, codebook_sizes=np.array([3, 16, 2]))
    encoder = make(str(path) if as_text else path)
    assert torch.equal(encoder.codes(), CODES)
    assert encoder.codebook_sizes[1] == (16 if "sizes" in kind else 5)


def test_random_is_redrawn_and_compact_is_not():
    random = make("random", 50, num_codebooks=3, codebook_size=(4, 3, 2))
    before = random.codes()
    random.reset_parameters()
    assert not torch.equal(random.codes(), before)
    compact = make("compact", 24, num_codebooks=3, codebook_size=(4, 3, 2))
    assert torch.equal(compact.codes(), compact_codes(24, 3, (4, 3, 2)).codes())
    assert compact.code_stats().unique_codes == 24
    compact.reset_parameters()
    assert compact.code_stats().unique_codes == 24


def test_codes_are_stored_packed_and_nothing_else_per_node():
    encoder = make("random", 10_000, num_codebooks=3, codebook_size=16)
    per_node = [b for b in encoder.buffers() if b.numel() >= 10_000]
    assert [b.dtype for b in per_node] == [torch.uint8]
    assert per_node[0].numel() == 10_000 * 2  # 12 bits, in whole bytes
    assert not any(p.numel() >= 10_000 for p in encoder.parameters())


def test_wider_alphabets_than_the_codes_need():
    encoder = make(CODES, num_codebooks=3, codebook_size=16)
    assert encoder.codebook_sizes == (16, 16, 16)
    assert torch.equal(encoder.codes(), CODES)
    assert encoder.inference_bytes() == 4 * 2 + 3 * 16 * 6 * 4


def test_the_encoder_has_codes_of_its_own():
    table = random_codes(4, 3, 5)
    encoder = make(table)
    encoder.coder.packed.zero_()
    assert table.packed.any()


@pytest.mark.parametrize("codes", [3, None, [[0, 1]], b"x"], ids=repr)
def test_codes_of_another_type(codes):
    with pytest.raises(TypeError, match="FixedCoder"):
        FixedCoder(codes)


def test_codes_that_do_not_fit():
    with pytest.raises(ValueError, match=r"\[4, 3\].*5 nodes"):
        make(CODES, 5)
    with pytest.raises(ValueError, match="2 codebooks"):
        make(CODES, num_codebooks=2, codebook_size=16)
    with pytest.raises(ValueError, match="at least"):
        make(CODES, num_codebooks=3, codebook_size=4)
    with pytest.raises(ValueError, match="num_codebooks is at least 1"):
        make(CODES, num_codebooks=0)
    with pytest.raises(ValueError, match="num_codebooks and codebook_size"):
        make("random", num_codebooks=3)
    with pytest.raises(ValueError, match="has 27"):
        make("compact", 28, num_codebooks=3, codebook_size=3)


def test_files_that_cannot_be_read(tmp_path):
    for name, write in {
        "missing.npy": lambda path: None,
        "text.npy": lambda path: path.write_text("0 1 2"),
        "empty.npz": lambda path: path.write_bytes(b""),
        "floats.npy": lambda path: np.save(path, np.ones((4, 3))),
        "other.npz": lambda path: np.savez(path, labels=CODES.numpy()),
        "flat.npy": lambda path: np.save(path, np.arange(4)),
        "objects.npy": lambda path: np.save(
            path, np.array([{}, {}]), allow_pickle=True
        ),
        "negative.npy": lambda path: np.save(path, np.array([[0], [-1]])),
    }.items():
        path = tmp_path / name
        write(path)
        with pytest.raises((ValueError, IndexError)) as caught:
            FixedCoder(path)
        assert "\n" not in str(caught.value), name
