"""Dropout: torch's, from fewer random numbers."""

import torch
from torch import Tensor, nn
from typing_extensions import override

from kdgraph.ops import node_bytes

_WORD = 64
_LOWEST = torch.iinfo(torch.int64).min
_INTEGERS = {8: torch.int8, 16: torch.int16}


class Dropout(nn.Dropout):
    r"""Zero elements with probability p, and scale the others.

    .. math:: y_i = \frac{m_i}{1 - q} x_i, \qquad m_i \sim \mathrm{Bernoulli}(1 - q)

    :class:`torch.nn.Dropout`, which on the CPU draws a number of at least 32 bits for
    each element, on one thread: a third of a full-batch step. Here an element takes 8
    bits where p is a multiple of 1/256, and else 16, with q the multiple of 1/65536
    next to p. What is kept for the backward pass is a byte per element. Elsewhere than
    on the CPU, where compiled, and for what is not dense and real, it is torch's own.

    Given the nodes of its rows, what a row loses follows from one number of torch's
    generator and from its node: processes that share a batch drop what one would.

    Args:
        p: See :class:`torch.nn.Dropout`. (default: ``0.5``)
        inplace: See :class:`torch.nn.Dropout`. (default: ``False``)

    Example:
        >>> dropout = Dropout(0.5)
        >>> sorted(dropout(torch.ones(1000)).unique().tolist())
        [0.0, 2.0]
        >>> dropout.eval()(torch.ones(3))
        tensor([1., 1., 1.])
    """

    @override
    def forward(self, input: Tensor, n_id: Tensor | None = None) -> Tensor:
        """Drop, in training.

        Args:
            input: Of any shape; ``[B, C]`` with nodes.
            n_id: The node of each row, ``[B]``. (default: ``None``)
        """
        draws = self.training and 0 < self.p < 1
        plain = input.layout == torch.strided and input.is_floating_point()
        here = input.device.type == "cpu" and not torch.compiler.is_compiling()
        by_node = n_id is not None
        if not (draws and plain and (by_node or (here and not self.inplace))):
            return super().forward(input)
        bits = 8 if float(self.p * 256).is_integer() else 16
        numbers = 1 << bits
        dropped = min(round(self.p * numbers), numbers - 1)
        if n_id is None:
            words = torch.empty(-(-input.numel() * bits // _WORD), dtype=torch.int64)
            words.random_(_LOWEST, None)
            drawn = words.view(_INTEGERS[bits])[: input.numel()].view(input.shape)
        else:
            seed = int(torch.randint(1 << 62, ()))
            drawn = node_bytes(n_id, input.size(1) * bits // 8, seed)
            drawn = drawn.contiguous().view(_INTEGERS[bits])
        keep = drawn >= dropped - numbers // 2
        return (input * keep).mul_(numbers / (numbers - dropped))
