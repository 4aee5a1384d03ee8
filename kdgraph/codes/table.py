"""CodeTable: packed codes, the one currency between coders, files and kernels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kdgraph.ops import MAX_CODEBOOK_SIZE, pack, row_bytes, unpack_nodes

CHUNK_ROWS = 1 << 20
"""Rows packed or unpacked at once, so that int64 codes of all nodes never coexist."""


class CodeTable:
    r"""The codes of N nodes, bit-packed.

    Node v is a row of :math:`\lceil \sum_j b_j / 8 \rceil` bytes, with
    :math:`b_j = \lceil \log_2 K_j \rceil` bits for position j.

    Args:
        packed: ``uint8`` ``[N, row_bytes]`` as :func:`kdgraph.ops.pack` gives it.
        codebook_sizes: The alphabet of each position, ``(K_1, ..., K_D)``.

    Raises:
        TypeError: ``packed`` is not ``uint8``.
        ValueError: Sizes out of range, or a row of the wrong width.

    Example:
        >>> table = CodeTable.from_codes(torch.tensor([[0, 4], [2, 1]]), [3, 5])
        >>> table.codes(torch.tensor([1]))
        tensor([[2, 1]])
        >>> table.nbytes
        2
    """

    def __init__(self, packed: Tensor, codebook_sizes: Sequence[int]) -> None:
        self.codebook_sizes = check_codebook_sizes(codebook_sizes)
        if packed.dtype != torch.uint8:
            raise TypeError(
                f"CodeTable expects packed bytes (uint8), got {packed.dtype}"
            )
        width = row_bytes(self.codebook_sizes)
        if packed.dim() != 2 or packed.size(1) != width:
            raise ValueError(
                f"CodeTable expects packed rows [N, {width}] for K = "
                f"{self.codebook_sizes}, got shape {tuple(packed.shape)}"
            )
        self.packed = packed

    @classmethod
    def from_codes(
        cls, codes: Tensor, codebook_sizes: int | Sequence[int] | None = None
    ) -> "CodeTable":
        """Check and pack codes.

        Args:
            codes: Integers ``[N, D]``.
            codebook_sizes: K, or one per position; by default the largest code of each
                position plus one, and at least 2.

        Raises:
            TypeError: Codes that are not integers.
            ValueError: Codes that are not ``[N, D]``, or sizes that do not fit.
            IndexError: A code below 0 or at or above its alphabet.
        """
        if not isinstance(codes, Tensor):
            raise TypeError(
                f"CodeTable expects codes as a torch.Tensor, got {type(codes).__name__}"
            )
        if codes.is_floating_point() or codes.is_complex() or codes.dtype == torch.bool:
            raise TypeError(f"CodeTable expects integer codes, got {codes.dtype}")
        if codes.dim() != 2 or codes.size(0) == 0 or codes.size(1) == 0:
            raise ValueError(
                f"CodeTable expects codes [N, D] with N and D of at least 1, got shape "
                f"{tuple(codes.shape)}"
            )
        highest = codes.amax(dim=0).tolist()
        if codebook_sizes is None:
            codebook_sizes = [max(2, top + 1) for top in highest]
        elif isinstance(codebook_sizes, int):
            codebook_sizes = [codebook_sizes] * codes.size(1)
        sizes = check_codebook_sizes(codebook_sizes)
        if len(sizes) != codes.size(1):
            raise ValueError(
                f"CodeTable expects one codebook size per position, got {len(sizes)} "
                f"sizes for codes with {codes.size(1)} positions"
            )
        lowest = codes.amin(dim=0).tolist()
        for position, (low, high, size) in enumerate(
            zip(lowest, highest, sizes, strict=True)
        ):
            if low < 0 or high >= size:
                raise IndexError(
                    f"CodeTable expects codes of position {position} in [0, {size}), "
                    f"got values from {low} to {high}"
                )
        return cls(
            torch.cat([pack(part, sizes) for part in torch.split(codes, CHUNK_ROWS)]),
            sizes,
        )

    @classmethod
    def from_file(cls, path: str | Path) -> "CodeTable":
        """Read codes ``[N, D]`` from a ``.npy`` file, or ``codes`` of a ``.npz``.

        A ``.npz`` may hold ``codebook_sizes`` beside them. Pickled objects are refused.

        Raises:
            ValueError: The file is missing, of another kind, or holds no integer codes.
        """
        path = Path(path)
        try:
            loaded = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise ValueError(f"codes cannot be read from {path}: {error}") from error
        sizes: list[int] | None = None
        if isinstance(loaded, np.ndarray):
            array = loaded
        else:
            with loaded:
                if "codes" not in loaded:
                    raise ValueError(f"{path} holds no array named 'codes'")
                array = loaded["codes"]
                if "codebook_sizes" in loaded:
                    sizes = [int(size) for size in loaded["codebook_sizes"]]
        if array.dtype.kind not in "iu":
            raise ValueError(
                f"{path} holds codes of type {array.dtype}, expected integers"
            )
        return cls.from_codes(torch.from_numpy(array.astype(np.int64)), sizes)

    @property
    def num_nodes(self) -> int:
        """Number of rows N."""
        return self.packed.size(0)

    @property
    def num_codebooks(self) -> int:
        """Number of positions D."""
        return len(self.codebook_sizes)

    @property
    def nbytes(self) -> int:
        """Exact bytes of the packed codes."""
        return self.packed.numel()

    def codes(self, n_id: Tensor | None = None) -> Tensor:
        """Unpack codes of some nodes, ``int64`` ``[B, D]``, or of all."""
        return unpack_nodes(self.packed, n_id, self.codebook_sizes)

    def __repr__(self) -> str:
        """Sizes in one line."""
        return f"CodeTable({self.num_nodes}, codebook_sizes={self.codebook_sizes})"


def check_codebook_sizes(codebook_sizes: Sequence[int]) -> tuple[int, ...]:
    """Check the alphabets of a code.

    Raises:
        TypeError: Something that is not an integer.
        ValueError: No position, or an alphabet below 2 or above 65536.
    """
    sizes = tuple(codebook_sizes)
    if not sizes:
        raise ValueError("codes need at least one position, got no codebook sizes")
    for size in sizes:
        if isinstance(size, bool) or not hasattr(size, "__index__"):
            raise TypeError(f"codebook sizes are integers, got {size!r}")
        if not 2 <= size <= MAX_CODEBOOK_SIZE:
            raise ValueError(
                f"codebook sizes lie in [2, {MAX_CODEBOOK_SIZE}], got {size}"
            )
    return tuple(int(size) for size in sizes)
