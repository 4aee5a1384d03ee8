"""RefinedCoder: codes that go on learning, with no state but themselves."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from kdgraph.coders.epochs import EpochCount
from kdgraph.coders.fixed import FixedCoder
from kdgraph.codes import CodeTable
from kdgraph.codes.refine import refine_codes, trust_region_target
from kdgraph.codes.table import read_codes
from kdgraph.composers import Composer, LinearComposer
from kdgraph.ops import at_least_float32, lookup_sum, node_bytes, pack, position_offsets
from kdgraph.ops.by_node import sum_by_node
from kdgraph.ops.straight_through import row_chunks
from kdgraph.strategy import Strategy


class RefinedCoder(FixedCoder):
    r"""Start from given codes, and now and then re-choose them by the gradient.

    The backward pass forms the gradient :math:`g_v` of every vector :math:`e_v` anyway.
    In an epoch that re-assigns, each step takes it on the way, sets the target

    .. math:: t_v = e_v - \eta \, \mathrm{rms}(e_v) \, g_v / \mathrm{rms}(g_v),

    and lets a random share of each node's positions re-choose their codeword, one after
    the other, by what comes nearest to it: see
    :func:`kdgraph.codes.refine.refine_codes`. Nothing is kept per node but the packed
    codes, :math:`\lceil \sum_j \log_2 K_j / 8 \rceil` bytes, where the logits or
    queries of other coders and their optimizer take hundreds. Nodes that no gradient
    reaches keep their codes.

    Epochs are counted by ``after_epoch``, as the training loop calls it after each;
    where nobody does, N rows of training steps are one, except in compiled code.
    Whether a re-assignment paid is for validation to say: ``restore`` takes codes back,
    and ``halt`` ends it. In epochs that re-assign, the graph of a compiled encoder
    breaks where the vectors leave it.

    A re-assignment takes time :math:`O(N \sum_j K_j C)` for an epoch's N rows, times
    the share, and beside the gradient some ten blocks of 16 MiB.

    Args:
        codes: Where to start, as :class:`FixedCoder` takes it. (default: ``"random"``)
        step: :math:`\eta`, how far the target lies, in lengths of the vector. Below
            0.5 hardly a code changes. (default: ``1.0``)
        share: Probability that a code may change in a re-assignment. (default: ``0.5``)
        every: Epochs from one re-assignment to the next. (default: ``10``)
        start: First epoch that re-assigns, counted from 0. (default: ``15``)
        stop: Epoch from which on none does. (default: ``45``)
        positions: Which positions may change; ``None`` for all that are stored, which
            those of a prefix are not. (default: ``None``)

    Raises:
        TypeError: Codes of another type.
        ValueError: An option out of range, codes that do not fit the encoder's sizes,
            or a composer that is not linear in the codes.

    Example:
        >>> from kdgraph import KDEmbedding
        >>> _ = torch.manual_seed(0)
        >>> coder = RefinedCoder("compact", share=1.0, every=1, start=0)
        >>> encoder = KDEmbedding(
        ...     16, 8, num_codebooks=2, codebook_size=4, coder=coder, composer="sum"
        ... )
        >>> (encoder() - torch.ones(8)).square().sum().backward()
        >>> coder.last_change > 0
        True
    """

    def __init__(
        self,
        codes: str | Path | Tensor | np.ndarray | CodeTable = "random",
        *,
        step: float = 1.0,
        share: float = 0.5,
        every: int = 10,
        start: int = 15,
        stop: int = 45,
        positions: Sequence[int] | None = None,
    ) -> None:
        super().__init__(codes)
        if not step > 0 or not 0 < share <= 1:
            raise ValueError(
                "RefinedCoder expects a step above 0 and a share in (0, 1], got "
                f"step={step} and share={share}"
            )
        if every < 1 or not 0 <= start <= stop:
            raise ValueError(
                "RefinedCoder expects every of at least 1 and 0 <= start <= stop, got "
                f"every={every}, start={start} and stop={stop}"
            )
        self.step = step
        self.share = share
        self.every = every
        self.start = start
        self.stop = stop
        self.positions = None if positions is None else tuple(positions)
        self.collect: Callable[[Tensor, Tensor], None] | None = None
        """Takes nodes and gradients of steps, in the place of re-choosing at once."""
        self.epochs = EpochCount(type(self).__name__)
        self._restart()

    def bind(
        self, num_nodes: int, codebook_sizes: tuple[int, ...], composer: Composer
    ) -> None:
        """Adopt the codes, after checking that they fit and can be refined."""
        if not isinstance(composer, LinearComposer) or composer.norm == "layer":
            raise ValueError(
                f"RefinedCoder needs vectors that are a sum over positions, got "
                f"{composer!r}; use SumComposer or ConcatComposer with norm=None or "
                "norm='batch'"
            )
        prefix = None if self.table is None else self.table.prefix
        told = 0 if prefix is None else prefix.num_codebooks
        allowed = range(told, len(codebook_sizes))
        if not allowed:
            raise ValueError(
                "RefinedCoder got codes of which no position is stored, so that none "
                "can be re-chosen; use FixedCoder"
            )
        if not set(self.positions or ()) <= set(allowed):
            raise ValueError(
                f"RefinedCoder expects positions in [{told}, {len(codebook_sizes)}), "
                f"those that are stored, got {self.positions}"
            )
        super().bind(num_nodes, codebook_sizes, composer)

    def reset_parameters(self) -> None:
        """Start the schedule again; draw random codes again, leave given ones."""
        super().reset_parameters()
        self._restart()

    @property
    def _told(self) -> int:
        """Positions that the place of a node tells, and no gradient changes."""
        return len(self.codebook_sizes) - len(self.packed_sizes)

    @property
    def last_change(self) -> float:
        """Share of the stored codes that the latest re-assignment saw and changed."""
        return self._changed / max(1, self._seen)

    def halt(self) -> None:
        """Re-assign no more: the codes are fixed from here on."""
        self.halted = True
        self._arm()

    @torch.no_grad()
    def restore(self, packed: Tensor) -> None:
        """Take back codes, packed as ``packed`` was or as a code table holds them.

        Codebooks that go back with them need the state that the optimizer had for them
        then: moments of what is thrown away would move them on in its direction.

        Raises:
            ValueError: Bytes of another shape or type.
        """
        if packed.shape != self.packed.shape or packed.dtype != torch.uint8:
            raise ValueError(
                f"RefinedCoder expects packed codes {tuple(self.packed.shape)} of "
                f"uint8, got {tuple(packed.shape)} of {packed.dtype}"
            )
        self.packed.copy_(packed)

    @property
    @override
    def watching(self) -> bool:
        """Whether this epoch re-assigns."""
        return self.armed

    @override
    def begin_step(self, num_rows: int, composer: Composer) -> None:
        if self.epochs.begin_step(num_rows, self.num_nodes):
            self._begin_epoch(self.epoch + 1)

    @override
    def expect_epochs(self) -> None:
        self.epochs.expected = True

    @override
    def after_epoch(self, epoch: int, composer: Composer) -> None:
        """Count the epoch, and arm the next one if it is to re-assign."""
        self.expect_epochs()
        self._begin_epoch(epoch + 1)

    def _begin_epoch(self, epoch: int) -> None:
        self.epoch = epoch
        self._arm()
        if self.armed:
            self._changed = self._seen = 0

    @override
    def watch(self, n_id: Tensor | None, x: Tensor, composer: Composer) -> None:
        """In an epoch that re-assigns, wait for the gradient of the vectors."""
        if not self.armed or not x.requires_grad:
            return

        def reassign(gradient: Tensor | None) -> None:
            hook.remove()  # a second backward pass would take another step
            if gradient is None:
                return
            if self.collect is not None and n_id is not None:
                self.collect(n_id, gradient)
            else:
                self.reassign(n_id, gradient, composer)

        hook = x.register_hook(reassign)  # type: ignore[no-untyped-call]

    def get_extra_state(self) -> Tensor:
        """The schedule: plain numbers, which no step has to fetch from a device."""
        state = [self.epoch, int(self.halted), self._changed, self._seen]
        rows = -1 if self.epochs.expected else self.epochs.rows
        return torch.tensor([*state, rows], device="cpu")

    def set_extra_state(self, state: Tensor) -> None:
        """Go on in the schedule where a state stood."""
        self.epoch, halted, self._changed, self._seen, *rest = state.tolist()
        # A state that was saved earlier has no rows: its epochs came from elsewhere.
        (rows,) = rest or [-1]
        self.epochs.expected |= rows < 0
        self.epochs.rows = max(0, rows)
        self.halted = bool(halted)
        self._arm()

    @torch.no_grad()
    def reassign(
        self, n_id: Tensor | None, gradient: Tensor, composer: Composer
    ) -> None:
        """Re-choose the codes of some nodes, all others staying as they are.

        Args:
            n_id: The nodes ``[B]``, or ``None`` for all.
            gradient: Of their vectors, ``[B, C]``; only its direction counts.
            composer: What composes them.
        """
        sizes, told = self.codebook_sizes, self._told
        # What bind has checked.
        basis = at_least_float32(cast("LinearComposer", composer).basis())
        offsets = torch.tensor(position_offsets(sizes), device=basis.device)
        shortest = basis.square().mean().sqrt()
        if n_id is None:
            n_id = torch.arange(self.num_nodes, device=gradient.device)
        else:
            n_id, gradient = sum_by_node(n_id, gradient)
        for chunk in row_chunks(n_id.numel(), basis.size(1)):
            nodes = n_id[chunk]
            codes = read_codes(self.packed, nodes, sizes[told:], self.prefix)
            vectors = lookup_sum(codes, basis, offsets)
            target = trust_region_target(
                vectors, gradient[chunk].to(basis.dtype), self.step, floor=shortest
            )
            movable = (target != vectors).any(dim=1, keepdim=True) & self._draw(
                codes, nodes
            )
            refined = refine_codes(codes, basis, target, sizes, movable=movable)
            self.packed[nodes] = pack(refined[:, told:], sizes[told:])
            self._changed += int((refined != codes).sum())
            self._seen += codes[:, told:].numel()

    def _draw(self, codes: Tensor, nodes: Tensor) -> Tensor:
        """Which codes ``[B, D]`` have their turn."""
        drawn = torch.ones_like(codes, dtype=torch.bool)
        if self.share < 1 and self.collect is not None:
            # The same in each of the processes that share the nodes.
            seed = int(torch.randint(1 << 62, ()))
            drawn = node_bytes(nodes, codes.size(1), seed) < round(256 * self.share)
        elif self.share < 1:
            drawn = torch.rand(codes.shape, device=codes.device) < self.share
        if self.positions is not None:
            allowed = torch.zeros_like(drawn[0])
            allowed[list(self.positions)] = True
            drawn &= allowed
        drawn[:, : self._told] = False
        return drawn

    def _restart(self) -> None:
        self.epoch = self.epochs.rows = 0
        self.halted = False
        self._changed = self._seen = 0
        self._arm()

    def _arm(self) -> None:
        """Decide once an epoch: compiled code then knows two cases, not each epoch."""
        due = self.start <= self.epoch < self.stop
        on_time = (self.epoch - self.start) % self.every == 0
        self.armed = due and on_time and not self.halted

    @property
    def config(self) -> dict[str, object]:
        """The constructor arguments; codes that were given are a buffer."""
        names = ("step", "share", "every", "start", "stop", "positions")
        return super().config | {name: getattr(self, name) for name in names}

    def __repr__(self) -> str:
        """As any strategy's; ``codes='given'`` for codes that are a buffer."""
        return Strategy.__repr__(self)
