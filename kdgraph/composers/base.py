"""Composer: from the codewords a node chose to its vector."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn
from typing_extensions import override

from kdgraph.composers.check import check_codes
from kdgraph.composers.content_cache import ContentCache
from kdgraph.composers.linear_form import LinearForm
from kdgraph.composers.norm import Norm, make_norm
from kdgraph.composers.stored_linear import StoredLinear
from kdgraph.ops import (
    Codebooks,
    Selection,
    Storage,
    Stored,
    as_stored,
    position_offsets,
    restore,
    store,
)
from kdgraph.strategy import Strategy

_SCALE = "_scale"


class Composer(Strategy):
    r"""A module from codes to vectors.

    A function :math:`f: \prod_j \{0, \ldots, K_j - 1\} \to \mathbb{R}^C`. It owns the
    codebooks :math:`C_j \in \mathbb{R}^{K_j \times d}` (Chen, Min, Sun, ICML 2018,
    section 2), drawn from ``N(0, 0.1^2)``. Choice 0 of every position is by
    default the null code, whose codeword is zero and stays so. Learned coders start
    nodes there: a node that no gradient has reached then says nothing to its
    neighbours, as a row of a table with weight decay does. A linear composition loses
    only a vector common to all nodes by it.

    Parameters are trained in full precision. With ``storage`` every use of codebooks
    and linear maps, training included, is of their values rounded to what an artifact
    keeps, and gradients pass straight through the rounding: nothing is lost at export.
    Normalisations are kept as they are.

    Args:
        code_dim: Width of a codeword d; ``None`` for what needs no projection.
        shared: One codebook for all positions instead of one each.
        norm: Normalise the vectors: ``"batch"`` (as the paper's code does), ``"layer"``
            or ``None``.
        null_code: Whether choice 0 stands for zero.
        storage: ``"bfloat16"``: 2 bytes a number; ``"int8"``: 1 byte, and 2 for the
            scale of each position's codebook and of each matrix, with biases in
            bfloat16; ``None``: as trained. See :func:`kdgraph.ops.store`.

    Raises:
        ValueError: An option out of range.
    """

    codebook_sizes: tuple[int, ...]
    embedding_dim: int
    weight: nn.Parameter
    offsets: Tensor
    output_norm: nn.Module
    additive: bool = False
    """Whether code vectors are summed, so that codes may quantise residuals."""

    def __init__(
        self,
        code_dim: int | None = None,
        *,
        shared: bool = False,
        norm: Norm = None,
        null_code: bool = True,
        storage: Storage = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if code_dim is not None and (not isinstance(code_dim, int) or code_dim < 1):
            raise ValueError(f"{name} expects code_dim of at least 1, got {code_dim!r}")
        if norm not in (None, "batch", "layer"):
            raise ValueError(
                f"{name} expects norm as None, 'batch' or 'layer', got {norm!r}"
            )
        if storage not in (None, "bfloat16", "int8"):
            raise ValueError(
                f"{name} expects storage as None, 'bfloat16' or 'int8', got {storage!r}"
            )
        self.code_dim = code_dim
        self.shared = shared
        self.norm = norm
        self.null_code = null_code
        self.storage = storage
        self._evaluated: ContentCache[Tensor] = ContentCache()

    def bind(self, codebook_sizes: tuple[int, ...], embedding_dim: int) -> None:
        """Create the codebooks and whatever follows them. Called by the encoder."""
        self._claim()
        self.codebook_sizes = codebook_sizes
        self.embedding_dim = embedding_dim
        rows = max(codebook_sizes) if self.shared else sum(codebook_sizes)
        width = self._default_width() if self.code_dim is None else self.code_dim
        self.weight = nn.Parameter(torch.empty(rows, width))
        self.register_buffer("offsets", self._starts(), persistent=False)
        self._build(width)
        self.output_norm = make_norm(self.norm, embedding_dim)
        self.reset_parameters()

    @property
    def codebooks(self) -> Codebooks:
        """All codewords on one axis, as stored, with the sizes that address them."""
        self._require_bound()
        if self.training or torch.is_grad_enabled() or self.storage is None:
            weight = self._stored_codewords()
        else:
            # Evaluation rounds nothing twice.
            weight = self._evaluated.get(self._sources(), self._stored_codewords)
        return Codebooks(weight, self.offsets, self.codebook_sizes)

    @property
    def stored_config(self) -> dict[str, Any]:
        """The constructor arguments that tell how to read :meth:`stored_tensors`."""
        return self.config

    @property
    def width(self) -> int:
        """Width of a codeword d."""
        return self.weight.size(1)

    def linear_form(self, codebooks: Codebooks) -> LinearForm | None:  # noqa: ARG002
        """How vectors are a linear map of codewords, as things stand.

        Args:
            codebooks: :attr:`Composer.codebooks`, or others in their place.

        Returns:
            The map, or ``None`` where vectors are no linear map of codewords.
        """
        return None

    def reset_parameters(self) -> None:
        """Draw codebooks and weights anew."""
        self._require_bound()
        self._derive()
        with torch.no_grad():
            self.weight.normal_(std=0.1)
            if self.null_code:
                self.weight[self.offsets] = 0.0
        for module in self.children():
            _reset(module)

    @torch.no_grad()
    def set_codewords(self, rows: Tensor, codewords: Tensor) -> None:
        """Put codewords in the place of others; storing may round them.

        Args:
            rows: Rows ``[R]`` of :attr:`Composer.codebooks`, none of a null code.
            codewords: ``[R, d]``.
        """
        self.weight[rows] = codewords.to(self.weight.dtype)

    def forward(
        self, codes: Tensor | Selection, codebooks: Codebooks | None = None
    ) -> Tensor:
        """Compose vectors.

        Args:
            codes: Integers ``[*, D]``, or what a coder selected.
            codebooks: :attr:`codebooks`, where a caller has them. (default: ``None``)

        Returns:
            ``[*, C]``.

        Raises:
            ValueError: A last axis that is not D, or a composer without sizes.
            TypeError: Codes that are not integers.
            IndexError: A code at or above its alphabet.
        """
        self._require_bound()
        if isinstance(codes, Selection):
            return self._compose(codes, codebooks or self.codebooks)
        check_codes(codes, self.codebook_sizes, type(self).__name__)
        selection = Selection(codes.reshape(-1, codes.size(-1)).long())
        vectors = self._compose(selection, codebooks or self.codebooks)
        return vectors.reshape(*codes.shape[:-1], self.embedding_dim)

    @torch.no_grad()
    def freeze(self) -> Self:
        """Stop learning for good: evaluation, no gradients, null codes at zero."""
        if self.null_code:
            self.weight.index_fill_(0, self.offsets, 0.0)
        return self.requires_grad_(requires_grad=False).eval()

    def stored_tensors(self) -> dict[str, Tensor]:
        """What an artifact keeps: all that decoding reads, and no counters.

        Rounded weights come in the type they are stored in, 8-bit integers with a
        tensor of scales beside, ``*_scale``.
        """
        rounded, tensors = self._rounded(), {}
        for name, tensor in self.state_dict().items():
            if name in rounded:
                weight = self._codewords().detach() if name == "weight" else tensor
                stored = store(weight, self.storage, rounded[name])
                tensors[name] = stored.values
                if stored.scale is not None:
                    tensors[name + _SCALE] = stored.scale
            elif not _is_counter(name):
                tensors[name] = tensor
        return tensors

    def load_stored(
        self, tensors: Mapping[str, Tensor], *, assign: bool = False
    ) -> None:
        """Take on what :meth:`stored_tensors` gave: the same vectors, bit for bit.

        Args:
            tensors: Tensors by name. Those of a composer that was trained in another
                floating-point type do not fit.
            assign: Put tensors in the place of the parameters, with their type and
                device, instead of copying values into those. (default: ``False``)

        Raises:
            RuntimeError: A tensor that is missing, unknown or of another shape.
        """
        state = dict(tensors)
        for name, rows in self._rounded().items():
            if name in state:
                stored = Stored(state[name], state.pop(name + _SCALE, None))
                if self.storage is not None:
                    state[name] = restore(stored, rows, self.weight.dtype)
        counters = {k: v for k, v in self.state_dict().items() if _is_counter(k)}
        self.load_state_dict(counters | state, assign=assign)

    def stored_bytes(self) -> int:
        """Exact bytes of :meth:`stored_tensors`."""
        tensors = self.stored_tensors().values()
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    @abstractmethod
    def _default_width(self) -> int:
        """The codeword width that reaches ``embedding_dim`` without a projection."""

    @abstractmethod
    def _build(self, width: int) -> None:
        """Create what follows the codebooks."""

    @abstractmethod
    def _combine(self, selection: Selection, codebooks: Codebooks) -> Tensor:
        """Vectors ``[B, C]`` before normalisation."""

    @override
    def _derive(self) -> None:
        self.offsets = self._starts()

    def _starts(self) -> Tensor:
        """First row of each position's codebook."""
        starts = [0] * len(self.codebook_sizes)
        if not self.shared:
            starts = position_offsets(self.codebook_sizes)
        return torch.tensor(starts, device=self.weight.device)

    def _stored_codewords(self) -> Tensor:
        """The codebooks as they are read back."""
        return as_stored(self._codewords(), self.storage, self._codebook_rows())

    def _sources(self) -> list[Tensor]:
        """The parameters that codebooks follow from."""
        return [self.weight]

    def _codewords(self) -> Tensor:
        """The codebooks before rounding, null codes at zero."""
        weight: Tensor = self.weight
        if self.null_code:
            # Whatever was written into these rows, and whether they learn or not.
            weight = weight.index_fill(0, self.offsets, 0.0)
        return weight

    def _codebook_rows(self) -> tuple[int, ...]:
        """Rows of each codebook, which share a scale."""
        return (max(self.codebook_sizes),) if self.shared else self.codebook_sizes

    def _rounded(self) -> dict[str, tuple[int, ...]]:
        """Names of the parameters that are rounded, with the rows of their groups."""
        rounded = {"weight": self._codebook_rows()}
        for name, module in self.named_modules():
            if isinstance(module, StoredLinear):
                rows = (module.out_features,)
                rounded |= {f"{name}.weight": rows, f"{name}.bias": rows}
        return rounded

    def _compose(self, selection: Selection, codebooks: Codebooks) -> Tensor:
        normed: Tensor = self.output_norm(self._combine(selection, codebooks))
        return normed


def _is_counter(name: str) -> bool:
    """Whether a buffer only counts batches, which decoding does not read."""
    return name.endswith("num_batches_tracked")


def _reset(module: nn.Module) -> None:
    """Reset a module, or, where it cannot reset itself, what it is made of."""
    reset = getattr(module, "reset_parameters", None)
    if reset is not None:
        reset()
        return
    for child in module.children():
        _reset(child)
