"""QuantizedRows: a trained table, each row rounded to 8 or 4 bits."""

from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from kdgraph.baselines.budget import check_budget
from kdgraph.codes.rows import check_rows
from kdgraph.encoder import Encoder, Encoding
from kdgraph.ops import at_least_float32
from kdgraph.ops.straight_through import row_chunks

HALF_MAX = torch.finfo(torch.float16).max
_EPSILON = 1e-8


class QuantizedRows(Encoder):
    r"""Frozen integers of 8 or 4 bits, with a step and an offset for each row.

    The row-wise scheme of FBGEMM (Khudia et al., 2021), byte for byte as
    ``torch.ops.quantized.embedding_bag_byte_prepack`` and ``..._4bit_prepack`` write
    it: with :math:`l_v = \min_c x_{vc}` and :math:`L = 2^{bits} - 1`,

    .. math::
        s_v = (\max_c x_{vc} - l_v) / L, \quad
        q_{vc} = \mathrm{round}((x_{vc} - l_v) / s_v), \quad
        \hat x_{vc} = s_v q_{vc} + l_v,

    so that no number is off by more than half a step :math:`s_v` and what rounding step
    and offset costs. In 8 bits those are float32, :math:`C + 8` bytes a node; in 4 bits
    two numbers share a byte, the first in its lower half, and step and offset are
    float16, :math:`\lceil C / 2 \rceil + 4` bytes. There is nothing to train: a table
    is rounded once, by :meth:`of`.

    Args:
        num_nodes: Number of nodes N.
        embedding_dim: Width of a vector C.
        bits: 8 or 4. (default: ``8``)

    Raises:
        TypeError: A size that is not an integer.
        ValueError: A size below 1, or other bits.

    Example:
        >>> table = torch.tensor([[0.0, 1.0, 255.0]])
        >>> QuantizedRows.of(table)()
        tensor([[  0.,   1., 255.]])
        >>> QuantizedRows(1000, 64, bits=4).inference_bytes()
        36000
    """

    rows: Tensor
    like: Tensor

    def __init__(self, num_nodes: int, embedding_dim: int, *, bits: int = 8) -> None:
        super().__init__(num_nodes, embedding_dim)
        if bits not in (8, 4):
            raise ValueError(f"QuantizedRows expects bits of 8 or 4, got {bits!r}")
        self.bits = bits
        width = row_width(self.embedding_dim, bits)
        self.register_buffer(
            "rows", torch.zeros(self.num_nodes, width, dtype=torch.uint8)
        )
        # Of no elements: it says in which type vectors are wanted.
        self.register_buffer("like", torch.empty(0), persistent=False)
        self.eval()

    @classmethod
    def of(cls, table: Tensor, bits: int = 8) -> Self:
        """The rounded rows of a table; its type is that of the vectors.

        Args:
            table: ``[N, C]``.
            bits: 8 or 4. (default: ``8``)

        Raises:
            TypeError: Not a floating point tensor.
            ValueError: Not ``[N, C]``, not finite, other bits, or in 4 bits numbers
                that float16 does not reach.
        """
        check_rows(table[:1] if isinstance(table, Tensor) else table, "QuantizedRows")
        encoder = cls(table.size(0), table.size(1), bits=bits).to(table)
        for part in row_chunks(table.size(0), table.size(1)):
            block = check_rows(table[part], "QuantizedRows")
            if bits == 4 and float(block.abs().max()) > HALF_MAX:
                raise ValueError(
                    "QuantizedRows expects numbers of at most 65504 in 4 bits, whose "
                    f"offsets are float16, got {float(block.abs().max()):.3g}; use 8"
                )
            quantize = _byte_rows if bits == 8 else _half_byte_rows
            encoder.rows[part] = quantize(block)
        return encoder

    @classmethod
    def within(cls, max_bytes: int, num_nodes: int, embedding_dim: int) -> Self:
        """Of 8 bits if those take at most ``max_bytes``, else of 4; rows of zeros.

        Raises:
            ValueError: Not even 4 bits fit.
        """
        check_budget(max_bytes, num_nodes, embedding_dim, owner="QuantizedRows")
        for bits in (8, 4):
            if num_nodes * row_width(embedding_dim, bits) <= max_bytes:
                return cls(num_nodes, embedding_dim, bits=bits)
        raise ValueError(
            f"QuantizedRows does not fit max_bytes={max_bytes}: 4 bits take "
            f"{num_nodes * row_width(embedding_dim, 4)} bytes; allow more"
        )

    def reset_parameters(self) -> None:
        """Nothing is learned here, so nothing is drawn."""

    def _encode(self, n_id: Tensor | None) -> Encoding:
        rows = self.rows if n_id is None else functional.embedding(n_id, self.rows)
        dtype = at_least_float32(self.like).dtype
        tail = 8 if self.bits == 8 else 4
        # A copy, since no type but bytes may begin anywhere.
        values, told = rows[:, :-tail], _apart(rows[:, -tail:])
        if self.bits == 4:
            halves = torch.stack([values & 15, values >> 4], dim=-1)
            values = halves.flatten(1)[:, : self.embedding_dim]
        told = told.view(torch.float32 if self.bits == 8 else torch.float16).to(dtype)
        x = values.to(dtype).mul_(told[:, :1]).add_(told[:, 1:]).to(self.like.dtype)
        return Encoding(x, x.new_zeros(()))

    def extra_repr(self) -> str:
        """Sizes and bits."""
        return f"{super().extra_repr()}, bits={self.bits}"


def _apart(x: Tensor) -> Tensor:
    return x.clone(memory_format=torch.contiguous_format)


def row_width(embedding_dim: int, bits: int) -> int:
    """Bytes of a row, with its step and offset.

    Example:
        >>> row_width(64, 8), row_width(63, 4)
        (72, 36)
    """
    return embedding_dim + 8 if bits == 8 else (embedding_dim + 1) // 2 + 4


def _byte_rows(x: Tensor) -> Tensor:
    low, high = x.aminmax(dim=1, keepdim=True)
    inverse = 255.0 / (high - low + _EPSILON)
    values = ((x - low) * inverse).round().to(torch.uint8)
    told = torch.cat([(high - low) / 255.0, low], dim=1)
    return torch.cat([values, told.view(torch.uint8)], dim=1)


def _half_byte_rows(x: Tensor) -> Tensor:
    low, high = x.aminmax(dim=1, keepdim=True)
    low = low.half().float()
    scale = ((high - low) / 15.0).half().float()
    # A row of equal numbers, or of numbers no float16 tells apart, is its offset.
    scale = torch.where((1.0 / scale).isfinite(), scale, 1.0)
    values = ((x - low) * (1.0 / scale)).round().clamp(0, 15).to(torch.uint8)
    if values.size(1) % 2:
        values = functional.pad(values, (0, 1))
    packed = values[:, ::2] | (values[:, 1::2] << 4)
    told = torch.cat([scale, low], dim=1).half()
    return torch.cat([packed, told.view(torch.uint8)], dim=1)
