"""KDFeatureStore: packed codes in the place of ``data.x`` under PyG's loaders."""

from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import FeatureStore, TensorAttr
from typing_extensions import override

from kdgraph.coded_features import CodedFeatures
from kdgraph.codes.explicit import explicit_rows
from kdgraph.nn._stored_rows import StoredRows
from kdgraph.ops import PackedCodes, PackedSelection, row_bytes
from kdgraph.packed import PackedEmbedding


class KDFeatureStore(FeatureStore):  # type: ignore[misc]
    r"""The vectors of frozen codes, made for the nodes that are asked for.

    PyG's loaders take it, with any ``GraphStore``, in the place of a graph with
    features: ``NodeLoader((store, graph_store), sampler, ...)``. Batches then have an
    ``x`` though no table exists. With ``packed=True`` they have ``codes`` instead, as
    they are stored, which are a small part of the bytes to send to a device;
    :meth:`coded` and :meth:`decode` make features and vectors of them there.

    Other tensors, such as labels, are put beside: ``store.put_tensor(y,
    attr_name="y", group_name=None, index=None)``. With an index they are put for its
    ids alone, and overwrite the rows that these had.

    Args:
        encoder: Frozen codes and a composer; ``encoder.export()`` of one that learned.
        group_name: The type of the nodes, for heterogeneous graphs. (default: ``None``)
        packed: Whether to give packed codes instead of vectors. (default: ``False``)

    Raises:
        TypeError: An encoder that is not frozen.

    Example:
        >>> from kdgraph import KDEmbedding
        >>> encoder = KDEmbedding(100, 64, num_codebooks=16, codebook_size=16).export()
        >>> store, n_id = KDFeatureStore(encoder), torch.tensor([5, 7])
        >>> torch.equal(store[None, "x", n_id], encoder(n_id))
        True
        >>> store = KDFeatureStore(encoder, packed=True)
        >>> codes = store[None, "codes", n_id]
        >>> tuple(codes.shape), torch.equal(store.decode(codes), encoder(n_id))
        ((2, 8), True)
    """

    def __init__(
        self,
        encoder: PackedEmbedding,
        *,
        group_name: str | None = None,
        packed: bool = False,
    ) -> None:
        super().__init__()
        if not isinstance(encoder, PackedEmbedding):
            raise TypeError(
                "KDFeatureStore expects a PackedEmbedding, such as encoder.export(), "
                f"got {type(encoder).__name__}; one that learns gives vectors by itself"
            )
        self.encoder = encoder
        self.packed = packed
        self._own = (group_name, "codes" if packed else "x")
        self._others: dict[tuple[Any, str | None], StoredRows] = {}

    def coded(self, codes: Tensor) -> CodedFeatures:
        """Features for the layers of :mod:`kdgraph.nn` from codes of a batch.

        Args:
            codes: ``uint8`` ``[B, row_bytes]`` as the store gave them, on the device of
                the encoder's composer.

        Raises:
            ValueError: Something else.
        """
        sizes = self.encoder.codebook_sizes
        expected = row_bytes(sizes)
        if codes.dtype != torch.uint8 or codes.shape[1:] != (expected,):
            raise ValueError(
                f"KDFeatureStore expects codes as uint8 [B, {expected}], got "
                f"{codes.dtype} {list(codes.shape)}"
            )
        composer = self.encoder.composer
        selection = PackedSelection(PackedCodes(codes, sizes))
        return CodedFeatures(composer, selection, composer.weight.new_zeros(()))

    def decode(self, codes: Tensor) -> Tensor:
        """Vectors ``[B, C]`` from codes of a batch; see :meth:`coded`."""
        return self.coded(codes).dense()

    @torch.no_grad()
    def _rows(self, index: Any) -> Tensor:
        n_id = _ids(index, self.encoder.num_nodes)
        if not self.packed:
            vectors: Tensor = self.encoder(n_id)
            return vectors
        encoder = self.encoder
        given = encoder.packed, n_id, encoder.packed_sizes, encoder.prefix
        return explicit_rows(*given).packed

    @override
    def _get_tensor(self, attr: TensorAttr) -> Tensor:
        key = attr.group_name, attr.attr_name
        if key == self._own:
            return self._rows(attr.index)
        if key not in self._others:
            raise KeyError(
                f"KDFeatureStore has no tensor {attr.attr_name!r} of group "
                f"{attr.group_name!r}; it has {[self._own, *self._others]}"
            )
        return self._others[key].get(attr.index)

    @override
    def _put_tensor(self, tensor: Any, attr: TensorAttr) -> bool:
        key = attr.group_name, attr.attr_name
        if key == self._own:
            raise ValueError(
                f"KDFeatureStore makes {attr.attr_name!r} of its codes; put other "
                "tensors under other names"
            )
        rows, before = torch.as_tensor(tensor), self._others.get(key)
        put = StoredRows.of if before is None else before.put
        self._others[key] = put(attr.index, rows)
        return True

    @override
    def _remove_tensor(self, attr: TensorAttr) -> bool:
        return self._others.pop((attr.group_name, attr.attr_name), None) is not None

    @override
    def _get_tensor_size(self, attr: TensorAttr) -> tuple[int, ...] | None:
        if (attr.group_name, attr.attr_name) == self._own:
            encoder = self.encoder
            if self.packed:
                return encoder.num_nodes, row_bytes(encoder.codebook_sizes)
            return encoder.num_nodes, encoder.embedding_dim
        other = self._others.get((attr.group_name, attr.attr_name))
        return None if other is None else tuple(other.rows.shape)

    @override
    def get_all_tensor_attrs(self) -> list[TensorAttr]:
        """What there is: the vectors or codes, and what was put beside."""
        return [TensorAttr(*key) for key in (self._own, *self._others)]

    def __repr__(self) -> str:
        """What it gives, in one line."""
        own, size = self._own[1], self._get_tensor_size(TensorAttr(*self._own))
        return f"KDFeatureStore({own}={list(size or ())}, others={len(self._others)})"


def _ids(index: Any, num_nodes: int) -> Tensor | None:
    """Node ids of any index that PyG gives; ``None`` for all."""
    if index is None:
        return None
    if isinstance(index, slice):
        return torch.arange(num_nodes)[index]
    if isinstance(index, int):
        return torch.tensor([index])
    ids: Tensor = torch.as_tensor(index)
    return ids.nonzero().flatten() if ids.dtype == torch.bool else ids
