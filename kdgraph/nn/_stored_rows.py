"""StoredRows: a tensor that was put beside codes, whole or for some ids."""

from typing import Any, NamedTuple

import torch
from torch import Tensor


class StoredRows(NamedTuple):
    """Rows by id.

    Args:
        rows: ``[B, *]``.
        ids: Whose they are, ascending; ``None`` for 0 to B - 1.
    """

    rows: Tensor
    ids: Tensor | None = None

    @classmethod
    def of(cls, index: Any, rows: Tensor) -> "StoredRows":
        """Rows for ids in any order; for one that stands twice, the last.

        Raises:
            ValueError: Another number of rows than of ids.
        """
        if index is None or (isinstance(index, slice) and index == slice(None)):
            return cls(rows)
        ids = _as_ids(index, rows.size(0))
        if ids.numel() != rows.size(0):
            raise ValueError(
                f"KDFeatureStore expects a row for each of {ids.numel()} ids, got "
                f"{rows.size(0)}"
            )
        ids, order = ids.flip(0).sort(stable=True)
        first = torch.ones_like(ids, dtype=torch.bool)
        first[1:] = ids[1:] != ids[:-1]
        return cls(rows.flip(0)[order[first]], ids[first])

    def get(self, index: Any) -> Tensor:
        """The rows of an index as PyG gives it; all for ``None``.

        Raises:
            IndexError: An id whose row was not put.
        """
        if index is None or (isinstance(index, slice) and index == slice(None)):
            return self.rows
        if self.ids is None:
            if isinstance(index, slice):
                return self.rows[index]
            return self.rows[_as_ids(index, self.rows.size(0))]
        bound = int(self.ids[-1]) + 1 if self.ids.numel() else 0
        return self.rows[self._places(_as_ids(index, bound))]

    def put(self, index: Any, rows: Tensor) -> "StoredRows":
        """With the rows of some ids in the place of those before; a copy."""
        given = StoredRows.of(index, rows)
        if given.ids is None:
            return given
        if self.ids is None:
            changed = self.rows.clone()
            changed[given.ids] = given.rows.to(changed.dtype)
            return StoredRows(changed)
        ids = torch.cat([self.ids, given.ids])
        return StoredRows.of(ids, torch.cat([self.rows, given.rows]))

    def _places(self, wanted: Tensor) -> Tensor:
        ids = self.ids
        if ids is None:
            return wanted
        places = torch.searchsorted(ids, wanted)
        within = places.clamp(max=max(ids.numel() - 1, 0))
        known = ids[within] == wanted if ids.numel() else torch.zeros_like(wanted) == 1
        if not bool(known.all()):
            raise IndexError(
                f"KDFeatureStore has no row of id {int(wanted[~known][0])}; rows were "
                f"put for {ids.numel()} ids"
            )
        return within


def _as_ids(index: Any, count: int) -> Tensor:
    """Ids of an index: a tensor, a mask, a number, a list or a slice."""
    if isinstance(index, slice):
        return torch.arange(count)[index]
    if isinstance(index, int):
        return torch.tensor([index])
    ids: Tensor = torch.as_tensor(index)
    return ids.nonzero().flatten() if ids.dtype == torch.bool else ids
