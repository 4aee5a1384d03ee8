"""From a composer's name and arguments to the composer, without trusting either."""

import inspect
import types
import typing
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from kdgraph.artifact._json import short
from kdgraph.artifact.fields import Fields
from kdgraph.artifact.layout import TensorEntry
from kdgraph.composers import COMPOSERS, Composer

PREFIX = "composer."
_FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def check_composer(fields: Fields, entries: Mapping[str, TensorEntry]) -> None:
    """Check that a composer exists and has the shapes that are stored.

    It is built on the meta device, so nothing is allocated whatever sizes are named.

    Args:
        fields: Name, arguments and sizes.
        entries: The stored tensors, without prefix.

    Raises:
        ValueError: An unknown name or argument, or tensors that do not match.
    """
    _check_config(fields, entries)
    try:
        composer = _build(fields, "meta")
        expected = composer.stored_tensors()
    except ValueError as error:
        raise ValueError(f"its composer cannot be built: {error}") from None
    except (RuntimeError, TypeError, OverflowError):
        # Sizes whose product overflows, or beyond 64 bits.
        raise ValueError("its composer cannot be built: a size is too large") from None
    for name in sorted(expected.keys() | entries.keys()):
        if name not in entries:
            raise ValueError(f"it lacks the tensor {PREFIX + name!r}")
        if name not in expected:
            raise ValueError(f"it has an unknown tensor {short(PREFIX + name)}")
    expected = composer.to(_decoded_dtype(fields, composer, entries)).stored_tensors()
    for name in sorted(expected):
        if entries[name].shape != tuple(expected[name].shape):
            raise ValueError(
                f"tensor {PREFIX + name!r} has shape {list(entries[name].shape)}, but "
                f"the composer needs {list(expected[name].shape)}"
            )
        _check_dtype(name, entries[name].dtype, expected[name].dtype)


def rebuild_composer(fields: Fields, tensors: dict[str, Tensor]) -> Composer:
    """Build a composer that was checked, and give it its tensors.

    The global random state is left alone.

    Raises:
        ValueError: Numbers that its rounding does not give, such as a scale of zero:
            they would decode to others than are stored.
    """
    with torch.random.fork_rng(devices=[]):
        composer = _build(fields, "cpu").to(fields.dtype or tensors["weight"].dtype)
    composer.load_stored(tensors, assign=True)
    composer.freeze()
    for name, tensor in composer.stored_tensors().items():
        if not torch.equal(tensor, tensors[name]):
            raise ValueError(
                f"tensor {PREFIX + name!r} has values that {composer!r} does not store"
            )
    return composer


def _build(fields: Fields, device: str) -> Composer:
    classes = {cls.__name__: cls for cls in COMPOSERS}
    with torch.device(device):
        composer = classes[fields.composer](**fields.config)
        composer.bind(fields.codebook_sizes, fields.embedding_dim)
    return composer


def _check_config(fields: Fields, entries: Mapping[str, TensorEntry]) -> None:
    """Known class, known arguments of the declared types, no count beyond the file.

    Arguments left out take their defaults, so that a later version may add some.
    """
    classes: dict[str, Any] = {cls.__name__: cls for cls in COMPOSERS}
    if fields.composer not in classes:
        raise ValueError(
            f"its composer {short(fields.composer)} is unknown; artifacts hold one of "
            f"{sorted(classes)}"
        )
    constructor = classes[fields.composer].__init__
    hints = typing.get_type_hints(constructor)
    known = list(inspect.signature(constructor).parameters)[1:]
    for name, value in fields.config.items():
        if name not in known:
            raise ValueError(f"its {fields.composer} has no argument {short(name)}")
        if not _fits(hints[name], value):
            raise ValueError(
                f"its {fields.composer} has {name}={short(value)}, which is not "
                f"{inspect.formatannotation(hints[name])}"
            )
        # A part has a tensor at least; otherwise building a million layers, even
        # without memory, takes minutes.
        if name.startswith("num_") and type(value) is int and value > len(entries):
            raise ValueError(
                f"its {fields.composer} has {name}={short(value)}, but there are only "
                f"{len(entries)} tensors"
            )


def _fits(hint: Any, value: Any) -> bool:
    """Whether a JSON value has exactly an annotated type; ``True`` is no integer."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(option, value) for option in typing.get_args(hint))
    if origin is typing.Literal:
        return type(value) is str and value in typing.get_args(hint)
    return type(value) is hint


def _decoded_dtype(
    fields: Fields, composer: Composer, entries: Mapping[str, TensorEntry]
) -> torch.dtype:
    """The type of vectors: that of codebooks, or named where those are rounded."""
    if (composer.storage is None) != (fields.dtype is None):
        raise ValueError(
            f"its composer has storage={composer.storage!r}, and its metadata "
            f"{'lacks' if fields.dtype is None else 'has'} 'dtype'"
        )
    dtype = fields.dtype or entries["weight"].dtype
    if dtype not in _FLOATS:
        _check_dtype("weight", dtype, *_FLOATS)
    return dtype


def _check_dtype(name: str, found: torch.dtype, *expected: torch.dtype) -> None:
    """As the composer stores it; a normalisation may stay in float32."""
    if name.startswith("output_norm."):
        expected = (*expected, torch.float32)
    if found not in expected:
        raise ValueError(
            f"tensor {PREFIX + name!r} has {found}, expected "
            f"{' or '.join(str(dtype) for dtype in dict.fromkeys(expected))}"
        )
