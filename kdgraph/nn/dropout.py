"""Dropout: torch's, from fewer random numbers."""

import torch
from torch import Tensor, nn
from typing_extensions import override

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
    def forward(self, input: Tensor) -> Tensor:
        """Drop, in training."""
        draws = self.training and 0 < self.p < 1 and not self.inplace
        plain = input.layout == torch.strided and input.is_floating_point()
        here = input.device.type == "cpu" and not torch.compiler.is_compiling()
        if not (draws and plain and here):
            return super().forward(input)
        bits = 8 if float(self.p * 256).is_integer() else 16
        numbers = 1 << bits
        dropped = min(round(self.p * numbers), numbers - 1)
        words = torch.empty(-(-input.numel() * bits // _WORD), dtype=torch.int64)
        words.random_(_LOWEST, None)
        drawn = words.view(_INTEGERS[bits])[: input.numel()]
        keep = (drawn >= dropped - numbers // 2).view(input.shape)
        return (input * keep).mul_(numbers / (numbers - dropped))
