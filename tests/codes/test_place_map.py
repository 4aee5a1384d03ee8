"""PlaceMap: places in a few bits, and no other map passes for one."""

import copy

import pytest
import torch

from kdgraph.codes import PlaceMap
from kdgraph.codes.place_map import map_bytes, place_bits


@pytest.mark.parametrize("count", [1, 2, 3, 8, 9, 1000])
def test_places_come_back(count: int) -> None:
    places = torch.randperm(count)
    found = PlaceMap.from_places(places)
    assert torch.equal(found(), places)
    n_id = torch.randint(count, (50,))
    assert torch.equal(found(n_id), places[n_id])
    assert torch.equal(copy.deepcopy(found)(n_id.int()), places[n_id])
    bits = max(1, (count - 1).bit_length())
    assert found.bits == place_bits(count) == bits
    assert found.nbytes == map_bytes(count) == -(-count * bits // 8)
    found.check()
    # Ids that no node has get a place that no node has.
    assert found(torch.tensor([-1, count, 1 << 40])).tolist() == [count] * 3


def test_bytes_of_known_graphs() -> None:
    """18 bits for a node of ogbn-arxiv, 27 for one of ogbn-papers100M."""
    assert map_bytes(169_343) == -(-169_343 * 18 // 8)
    assert map_bytes(111_059_956) == -(-111_059_956 * 27 // 8)


def test_the_map_goes_where_the_module_goes() -> None:
    found = PlaceMap.from_places(torch.randperm(9))
    assert list(found.state_dict()) == ["packed"]
    assert not list(found.parameters())
    assert found.double().packed.dtype == torch.uint8


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: PlaceMap(torch.zeros(4).byte(), 9), ValueError, "5 bytes for 9"),
        (lambda: PlaceMap(torch.zeros(5), 9), TypeError, "bytes .uint8., got torch.fl"),
        (lambda: PlaceMap.from_places(torch.tensor([0, 0])), ValueError, "each once"),
        (lambda: PlaceMap.from_places(torch.rand(3)), TypeError, "of integers"),
    ],
)
def test_what_is_no_map(build, error, message) -> None:
    with pytest.raises(error, match=message):
        build()


def test_check_finds_what_is_wrong() -> None:
    places = PlaceMap.from_places(torch.arange(9))
    for byte, value, message in (
        (0, 0x11, "each place once, got none at 0"),
        (0, 0x1F, "holds 0 to 8, got 15"),
        (4, 0x18, "bits set after its last place"),
    ):
        broken = copy.deepcopy(places)
        broken.packed[byte] = value
        with pytest.raises(ValueError, match=message):
            broken.check()
