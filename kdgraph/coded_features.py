"""CodedFeatures: node vectors that layers read as codes."""

import copy
from typing import Any, Literal

import torch
from torch import Tensor
from typing_extensions import override

from kdgraph.compat import apply, is_exporting, transforming
from kdgraph.composers import Composer, LinearForm
from kdgraph.features_like_tensor import FeaturesLikeTensor
from kdgraph.fold_cost import fold_pays
from kdgraph.ops import (
    Codebooks,
    Csr,
    Echo,
    PackedCodes,
    Selection,
    carry,
    coded_gather,
    coded_linear,
    coded_spmm,
    loss_carrier,
    mapped_sums,
)


class CodedFeatures(FeaturesLikeTensor):
    r"""The vectors X of some nodes, ``[B, C]``, as codes and a composer.

    What the layers of :mod:`kdgraph.nn` take in the place of ``x``; made by
    ``encoder.coded(n_id)``, for one step. Where the composition is linear in hard codes
    (sum and concat, without a normalisation that is not), products with X are read off
    the codes and X is never formed. Then gradients reach the codebooks and projections
    through the codes, and a coder that learns gets :math:`A^\top G`, the gradient by X.
    Elsewhere, and while a model is exported (``torch.export``, ONNX),
    :attr:`reads_codes` is false, and everything goes by :meth:`dense`.

    They are no tensor, but have its sizes, ``narrow`` and row indices, which is what
    PyG's ``trim_to_layer`` and explainers ask of ``x``. All else that takes them for a
    tensor is refused.

    Args:
        composer: What makes vectors of the codes.
        selection: The codes, and how gradients reach what chose them.
        penalty: The coder's terms of the loss, a scalar. The products carry it: their
            backward pass adds its gradient, once and at weight 1. What is kept as
            ``penalty`` is its value, without one.
        codebooks: The composer's codewords. (default: ``composer.codebooks``)
        x: The vectors, where they had to be formed. (default: ``None``)

    Example:
        >>> from kdgraph import KDEmbedding
        >>> encoder = KDEmbedding(1000, 64, num_codebooks=16, codebook_size=32)
        >>> features = encoder.coded(torch.tensor([5, 7]))
        >>> features
        CodedFeatures(2, 64, num_codebooks=16)
        >>> bool((features.linear() - encoder(torch.tensor([5, 7]))).abs().max() < 1e-6)
        True
    """

    def __init__(
        self,
        composer: Composer,
        selection: Selection,
        penalty: Tensor,
        *,
        codebooks: Codebooks | None = None,
        x: Tensor | None = None,
    ) -> None:
        self.composer = composer
        self.selection = selection
        self.penalty = penalty.detach()
        self._learns = torch.is_grad_enabled()
        self._carrier: Tensor | None = None
        if self._learns and penalty.requires_grad:
            self._carrier = loss_carrier(penalty)
        self._x = None if x is None else self._carrying(x)
        self._form: LinearForm | None = None
        self._echo: Tensor | None = None
        self._whole: tuple[CodedFeatures, slice | Tensor] | None = None
        if x is not None or is_exporting():
            return
        codebooks = composer.codebooks if codebooks is None else codebooks
        # The operations over codes know nothing of torch.func; vectors do.
        readable = None if transforming() else selection.readable(codebooks)
        if readable is not None:
            self._codes, own = readable
            self._form = composer.linear_form(own)
        if self._form is None:
            # Now, while the composer's parameters are those of this forward pass.
            self._x = self._carrying(composer(selection))
        elif self._learns:
            self._echo = selection.echo(codebooks, additive=composer.additive)

    def tensors(self) -> tuple[Tensor, ...]:
        """What gradients of the products come through, where there are any."""
        form = self._form
        read = () if form is None else (form.codebooks.weight, form.matrix, form.bias)
        parts = (self._x, self._echo, self._carrier, *read)
        return tuple(p for p in parts if p is not None and p.requires_grad)

    @property
    def reads_codes(self) -> bool:
        """Whether products are read off the codes, without forming the vectors."""
        return self._form is not None

    @property
    def num_nodes(self) -> int:
        """Number of vectors B."""
        if self._x is not None:
            return self._x.size(0)
        if self._form is None:
            return self.selection.codes.size(0)
        if isinstance(self._codes, Tensor):
            return self._codes.size(0)
        return self._codes.packed.size(0)

    @property
    def embedding_dim(self) -> int:
        """Width of a vector C."""
        return self.composer.embedding_dim

    @property
    def shape(self) -> torch.Size:
        """``[B, C]``."""
        return torch.Size((self.num_nodes, self.embedding_dim))

    @property
    def dtype(self) -> torch.dtype:
        """The type of the vectors."""
        return self.composer.weight.dtype

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return self.composer.weight.device

    def dense(self) -> Tensor:
        """The vectors ``[B, C]``, those of ``encoder(n_id)``; formed once."""
        if self._x is None and self._whole is not None:
            whole, index = self._whole
            self._x = whole.dense()[index]
        if self._x is None:
            with torch.set_grad_enabled(self._learns):
                self._x = self._carrying(self.composer(self.selection))
        return self._x

    def first(self, count: int) -> "CodedFeatures":
        """Those of the first nodes, such as the targets of a sampled graph.

        Args:
            count: How many.

        Raises:
            IndexError: More than there are.
        """
        if not 0 <= count <= self.num_nodes:
            raise IndexError(
                f"CodedFeatures of {self.num_nodes} nodes have no first {count}"
            )
        return self._rows(slice(count))

    def detach(self) -> "CodedFeatures":
        """The same features, from which no gradient reaches the encoder.

        Such as an explainer wants, which runs many backward passes over one ``x``.
        """
        features = copy.copy(self)
        features._learns, features._echo = False, None
        features.penalty = self.penalty.detach()
        if self._x is not None:
            features._x = self._x.detach()
        if self._whole is not None:
            whole, index = self._whole
            features._whole = whole.detach(), index
        if self._form is not None:
            features._form = self._form.detached()
        return features

    @override
    def _rows(self, index: slice | Tensor) -> "CodedFeatures":
        if self._form is None:
            part = self.dense()[index]
            return CodedFeatures(self.composer, self.selection, self.penalty, x=part)
        features = copy.copy(self)
        features._whole, features._x = (self, index), None
        if isinstance(self._codes, Tensor):
            features._codes = self._codes[index]
        else:
            table = self._codes
            features._codes = PackedCodes(table.packed[index], table.codebook_sizes)
        if self._echo is not None:
            features._echo = self._echo[index]
        return features

    def linear(
        self, weight: Tensor | None = None, bias: Tensor | None = None
    ) -> Tensor:
        r"""The product :math:`X W^\top + b`.

        Args:
            weight: W, ``[H, C]``; ``None`` for the identity. (default: ``None``)
            bias: b, ``[H]``. (default: ``None``)

        Returns:
            ``[B, H]``.

        Raises:
            ValueError: A map of vectors of another width.
        """
        product = self._product(None, weight)
        return product if bias is None else product + bias

    def aggregate(
        self, csr: Csr, weight: Tensor | None = None, reduce: str = "sum"
    ) -> Tensor:
        r"""The sums over neighbours :math:`A X W^\top`, or their means.

        By whichever is cheaper of two ways, see :func:`kdgraph.fold_cost.fold_pays`: W
        folded into the codebooks before the sum, or applied after it.

        Args:
            csr: A, M targets and B sources.
            weight: W, ``[H, C]``; ``None`` for the identity. (default: ``None``)
            reduce: ``"sum"``, or ``"mean"``, which divides by the number of edges.
                (default: ``"sum"``)

        Returns:
            ``[M, H]``.

        Raises:
            ValueError: Another reduction, a graph of another number of sources, or a
                map of vectors of another width.
        """
        if reduce not in ("sum", "mean"):
            raise ValueError(
                f"CodedFeatures sums or averages over neighbours, got reduce={reduce!r}"
            )
        if csr.pattern.num_sources != self.num_nodes:
            raise ValueError(
                f"CodedFeatures of {self.num_nodes} nodes got a graph of "
                f"{csr.pattern.num_sources} sources"
            )
        sums = self._product(csr, weight)
        return sums if reduce == "sum" else csr.mean_of(sums)

    def _product(self, csr: Csr | None, weight: Tensor | None) -> Tensor:
        if weight is not None and weight.shape[1:] != (self.embedding_dim,):
            raise ValueError(
                f"CodedFeatures of width {self.embedding_dim} got a map of shape "
                f"{list(weight.shape)}, expected [H, {self.embedding_dim}]; is the "
                "layer's in_channels the encoder's embedding_dim?"
            )
        form = self._form
        if form is None:
            x = self.dense()
            x = x if weight is None else x @ weight.t()
            return x if csr is None else csr.sum(x)
        if weight is not None:
            form = form.mapped(weight)
        return self._carrying(self._read_off(csr, form))

    def _carrying(self, x: Tensor) -> Tensor:
        """The same values, with the coder's terms of the loss."""
        return x if self._carrier is None else carry(x, self._carrier)

    def _read_off(self, csr: Csr | None, form: LinearForm) -> Tensor:
        """A product that is read from the codes."""
        edges = self.num_nodes if csr is None else csr.num_edges
        targets = self.num_nodes if csr is None else csr.num_targets
        if fold_pays(form, edges, targets):
            sums = self._heard(csr, self._sum(csr, form.folded(), "sum"), form.matrix)
        elif form.matrix is not None and not self._is_heard:
            sums = self._mapped(csr, form, form.matrix)
        else:
            sums = self._sum(csr, form.codebooks, _compose(form))
            sums = self._heard(csr, sums, None)
            if form.matrix is not None:
                sums = mapped_sums(sums, form.matrix)
        if form.bias is None:
            return sums
        if csr is None:
            return sums + form.bias
        return sums + csr.row_sum(form.bias.dtype).unsqueeze(1) * form.bias

    def _sum(self, csr: Csr | None, codebooks: Codebooks, compose: Any) -> Tensor:
        if csr is None:
            return coded_gather(self._codes, codebooks, compose=compose)
        rows, col = csr.pattern.rowptr, csr.pattern.col
        return coded_spmm(
            rows, col, csr.weight, self._codes, codebooks, compose=compose
        )

    def _mapped(self, csr: Csr | None, form: LinearForm, matrix: Tensor) -> Tensor:
        """Sums that are mapped while they are made."""
        edges: tuple[Tensor | None, Tensor | None, Tensor | None] = (None, None, None)
        if csr is not None:
            edges = csr.pattern.rowptr, csr.pattern.col, csr.weight
        return coded_linear(
            *edges, self._codes, form.codebooks, matrix, compose=_compose(form)
        )

    @property
    def _is_heard(self) -> bool:
        """Whether gradients also go to what chose the codes."""
        return self._echo is not None and torch.is_grad_enabled()

    def _heard(self, csr: Csr | None, sums: Tensor, matrix: Tensor | None) -> Tensor:
        """Sums whose gradient also goes to what chose the codes."""
        if self._echo is None or not self._is_heard:
            return sums
        back = (None, None, None) if csr is None else csr.transposed()
        heard: Tensor = apply(Echo, sums, self._echo, matrix, *back)
        return heard

    def __repr__(self) -> str:
        """Sizes in one line."""
        return (
            f"CodedFeatures({self.num_nodes}, {self.embedding_dim}, "
            f"num_codebooks={len(self.composer.codebook_sizes)})"
        )


def _compose(form: LinearForm) -> Literal["sum", "concat"]:
    return "sum" if form.additive else "concat"
