"""FixedCoder: codes that are given, and stay."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from kdgraph.coders.base import Coder
from kdgraph.codes import CodeTable, Prefix, compact_codes, random_codes
from kdgraph.codes.check import check_state
from kdgraph.codes.explicit import ExplicitCodes
from kdgraph.codes.prefix import without_prefix
from kdgraph.codes.table import read_codes
from kdgraph.composers import Composer
from kdgraph.ops import Codebooks, PackedSelection, Selection, row_bytes

_GENERATED = {"random": random_codes, "compact": compact_codes}


class FixedCoder(Coder):
    """Look codes up in a packed table; only the codebooks learn.

    The ``preassign`` mode of the KD-encoding code (Chen, Min, Sun, ICML 2018). A node
    takes D log2 K bits while training, and never an ``int64``. Of positions that an
    order implies it stores none; a copy with theirs is kept once layers have read the
    codes of all nodes.

    Args:
        codes: ``"random"`` (drawn again by ``reset_parameters``), ``"compact"``, a
            :class:`kdgraph.codes.CodeTable`, integers ``[N, D]``, or the path of a
            ``.npy`` or ``.npz`` file. (default: ``"random"``)

    Raises:
        TypeError: Codes of another type.
        ValueError: Codes that do not fit the encoder's sizes, or an unreadable file.

    Example:
        >>> from kdgraph import KDEmbedding
        >>> codes = torch.tensor([[0, 1], [2, 0], [1, 1]])
        >>> encoder = KDEmbedding(3, 4, coder=FixedCoder(codes))
        >>> encoder.codes()
        tensor([[0, 1],
                [2, 0],
                [1, 1]])
    """

    packed: Tensor
    prefix: Prefix | None

    def __init__(
        self, codes: str | Path | Tensor | np.ndarray | CodeTable = "random"
    ) -> None:
        super().__init__()
        self.prefix = None
        self.explicit = ExplicitCodes()
        self.table: CodeTable | None = None
        self.source = ""
        if isinstance(codes, CodeTable):
            self.table = codes
        elif isinstance(codes, Tensor | np.ndarray):
            self.table = CodeTable.from_codes(torch.as_tensor(codes))
        elif isinstance(codes, str) and codes in _GENERATED:
            self.source = codes
        elif isinstance(codes, str | Path):
            self.table = CodeTable.from_file(codes)
        else:
            raise TypeError(
                f"{type(self).__name__} expects codes as 'random', 'compact', a path, "
                f"a tensor or a CodeTable, got {type(codes).__name__}"
            )

    def bind(
        self, num_nodes: int, codebook_sizes: tuple[int, ...], composer: Composer
    ) -> None:
        """Adopt the codes, after checking that they fit."""
        if self.table is not None:
            self._check_fit(self.table, num_nodes, codebook_sizes)
        super().bind(num_nodes, codebook_sizes, composer)

    @property
    @override
    def row_elements(self) -> int:
        """Numbers formed to read the codes of a node, which are the codes alone."""
        return len(self.codebook_sizes)

    @property
    @override
    def by_node(self) -> bool:
        """True, as codes are looked up."""
        return True

    @property
    def packed_sizes(self) -> tuple[int, ...]:
        """The alphabets of the positions that are packed, those after a prefix."""
        return without_prefix(self.codebook_sizes, self.prefix)

    def reset_parameters(self) -> None:
        """Draw random codes again; codes that were given stay."""
        self._require_bound()
        if self.source:
            generate, sizes = _GENERATED[self.source], self.codebook_sizes
            self.packed.copy_(generate(self.num_nodes, len(sizes), sizes).packed)

    @override
    def coded(self, n_id: Tensor | None, codebooks: Codebooks) -> Selection:
        """The packed rows themselves."""
        self._require_bound()
        return PackedSelection(
            self.explicit(self.packed, n_id, self.packed_sizes, self.prefix)
        )

    @override
    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *rest: Any
    ) -> None:
        name = type(self).__name__
        check_state(
            state_dict.get(f"{prefix}packed"), self.packed, self.packed_sizes, name
        )
        super()._load_from_state_dict(state_dict, prefix, *rest)

    @override
    def _build(self, composer: Composer) -> None:
        sizes, table = self.codebook_sizes, self.table
        if table is None:
            # ``reset_parameters``, which comes next, fills it.
            packed = torch.empty(self.num_nodes, row_bytes(sizes), dtype=torch.uint8)
        elif table.codebook_sizes == sizes:
            packed = table.packed.clone()
        else:
            # Wider alphabets were asked for than the codes use: pack at that width.
            packed = table.repacked(sizes).packed
        self.register_buffer("packed", packed)
        self.prefix = None if table is None else copy.deepcopy(table.prefix)
        self.table = None

    @override
    def _select(self, n_id: Tensor | None, codebooks: Codebooks) -> Selection:
        codes = read_codes(self.packed, n_id, self.packed_sizes, self.prefix)
        return Selection(codes)

    def _check_fit(
        self, table: CodeTable, num_nodes: int, codebook_sizes: tuple[int, ...]
    ) -> None:
        if table.num_nodes != num_nodes or table.num_codebooks != len(codebook_sizes):
            raise ValueError(
                f"{type(self).__name__} got codes [{table.num_nodes}, "
                f"{table.num_codebooks}] for an encoder of {num_nodes} nodes and "
                f"{len(codebook_sizes)} codebooks"
            )
        if any(
            given > asked
            for given, asked in zip(table.codebook_sizes, codebook_sizes, strict=True)
        ):
            raise ValueError(
                f"{type(self).__name__} got codes that need K of at least "
                f"{table.codebook_sizes}, but codebook_size asks for {codebook_sizes}"
            )
        told = () if table.prefix is None else table.prefix.codebook_sizes
        if codebook_sizes[: len(told)] != told:
            raise ValueError(
                f"{type(self).__name__} got codes with a prefix of K = {told}, but "
                f"codebook_size asks for {codebook_sizes}; use the table's "
                "explicit() codes"
            )

    @property
    def config(self) -> dict[str, object]:
        """Where the codes come from; the codes themselves are a buffer."""
        return {"codes": self.source or "given"}

    def __repr__(self) -> str:
        """``FixedCoder(random)``, ``FixedCoder(compact)`` or ``FixedCoder(given)``."""
        return f"FixedCoder({self.source or 'given'})"
