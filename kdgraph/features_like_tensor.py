"""FeaturesLikeTensor: what PyG asks of features, for features that are no tensor."""

import sys
from abc import ABC, abstractmethod
from typing import Any, NoReturn, Self, overload

import torch
from torch import Tensor

_PYG = "torch_geometric."


class FeaturesLikeTensor(ABC):
    """Sizes, rows and masks as of a tensor ``[B, C]``; everything else is refused.

    PyG's ``trim_to_layer``, explainers, ``summary`` and ``Data`` need no more. Its
    layers do, and would decode every neighbour of every node unasked: they get a
    sentence that says what to do.
    """

    @property
    @abstractmethod
    def shape(self) -> torch.Size:
        """``[B, C]``."""

    @abstractmethod
    def dense(self) -> Tensor:
        """The vectors."""

    @abstractmethod
    def _rows(self, index: slice | Tensor) -> Self:
        """Those of some rows: a slice in range, or ids in range."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """A tensor to PyG, which asserts ``isinstance(x, Tensor)``; else what it is.

        Only PyG's modules see it: torch, which reads the memory of what it takes for a
        tensor, and its compiler do not.
        """
        caller = sys._getframe(1).f_globals.get("__name__", "")
        return Tensor if caller.startswith(_PYG) else type(self)

    @overload
    def size(self) -> torch.Size: ...

    @overload
    def size(self, dim: int) -> int: ...

    def size(self, dim: int | None = None) -> torch.Size | int:
        """``[B, C]``, or one of them."""
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        """Two."""
        return len(self.shape)

    @property
    def ndim(self) -> int:
        """Two."""
        return self.dim()

    @property
    def layout(self) -> torch.layout:
        """Dense, to what asks."""
        return torch.strided

    def numel(self) -> int:
        """B times C."""
        return self.shape.numel()

    def __len__(self) -> int:
        """B."""
        return self.shape[0]

    def narrow(self, dim: int, start: int, length: int) -> Self:
        """The features of ``length`` nodes from ``start`` on.

        Args:
            dim: 0, the nodes.
            start: The first node.
            length: How many.

        Raises:
            ValueError: Another axis: a part of the channels is no vector of a node.
            IndexError: Nodes out of range.
        """
        if dim not in (0, -2):
            raise ValueError(
                f"CodedFeatures are narrowed along nodes, dim=0, got dim={dim}; use "
                ".dense() for a part of the channels"
            )
        if not 0 <= start <= start + length <= self.shape[0]:
            raise IndexError(
                f"CodedFeatures of {self.shape[0]} nodes have no {length} from {start}"
            )
        return self._rows(slice(start, start + length))

    def __getitem__(self, index: slice | Tensor) -> Self:
        """The features of some nodes, by a slice, by ids or by a mask.

        Raises:
            TypeError: Another index, which a tensor or a pair would have.
            IndexError: Ids out of range, or a mask of another length.
        """
        if isinstance(index, slice):
            start, stop, step = index.indices(self.shape[0])
            if step == 1:
                return self._rows(slice(start, max(start, stop)))
            return self._rows(torch.arange(start, stop, step))
        if not isinstance(index, Tensor) or index.dim() != 1:
            _refuse("an index")
        if index.is_floating_point() or index.is_complex():
            _refuse("an index that is not of integers")
        return self._rows(index)

    def __mul__(self, other: Tensor | float) -> Tensor:
        """The vectors, decoded, times a mask of an explainer."""
        return self.dense() * other

    @classmethod
    def __torch_function__(
        cls,
        func: Any,
        types: Any,
        args: Any = (),
        kwargs: Any = None,
    ) -> NoReturn:
        """Refuse to be taken for a tensor, which PyG's own layers would."""
        _refuse(f"{getattr(func, '__name__', func)}()")

    def __getattr__(self, name: str) -> NoReturn:
        """Say what to do where a layer takes them for a tensor all the same."""
        raise AttributeError(
            f"CodedFeatures are no tensor and have no attribute {name!r}; {_ADVICE}"
        )

    def __iter__(self) -> NoReturn:
        """Refuse to be taken for a pair of sources and targets."""
        _refuse("a pair of features")


_ADVICE = (
    "pass them to a layer of kdgraph.nn, such as CodedGCNConv, or give .dense() to "
    "others"
)


def _refuse(what: str) -> NoReturn:
    raise TypeError(f"CodedFeatures are no tensor and got {what}; {_ADVICE}")
