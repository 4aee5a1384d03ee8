"""CodedEncoder: what encoders made of codes and a composer share."""

import warnings
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from kdgraph.code_stats import CodeStats, code_stats
from kdgraph.coded_features import CodedFeatures
from kdgraph.codes import CodeTable, Prefix
from kdgraph.codes.prefix import without_prefix
from kdgraph.composers import Composer, LinearComposer
from kdgraph.encoder import Encoder, Output
from kdgraph.ops import pack, position_offsets, row_bytes

_CHUNK_ELEMENTS = 1 << 26


class CodedEncoder(Encoder):
    """An encoder whose vectors are composed from codes.

    In eval mode ``encoder.composer(encoder.codes(n_id))`` equals ``encoder(n_id)``, bit
    for bit.
    """

    composer: Composer

    def get_extra_state(self) -> Tensor:
        """The alphabets, since codes of others may take as many bits."""
        return torch.tensor(self.codebook_sizes, device="cpu")

    def set_extra_state(self, state: Tensor) -> None:
        """Refuse the state of an encoder with other alphabets.

        Raises:
            ValueError: They are others.
        """
        sizes = tuple(state.tolist())
        if sizes != self.codebook_sizes:
            raise ValueError(
                f"{type(self).__name__} expects the state of an encoder with K = "
                f"{self.codebook_sizes}, got one with K = {sizes}; make the encoder "
                "with the codebook_size it was saved with"
            )

    @override
    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        *lists: list[str],
    ) -> None:
        key = f"{prefix}_extra_state"
        if key in state_dict:
            # First of all, so that nothing is loaded where it is refused.
            self.set_extra_state(state_dict[key])
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, *lists
        )
        if key in missing_keys:
            missing_keys.remove(key)  # a state that was saved before it had one

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """The alphabet of each position, ``(K_1, ..., K_D)``."""
        return self.composer.codebook_sizes

    @property
    def num_codebooks(self) -> int:
        """Number of positions D."""
        return len(self.codebook_sizes)

    @property
    @abstractmethod
    def prefix(self) -> Prefix | None:
        """What implies the first positions without stored codes, if anything does."""

    @property
    def packed_sizes(self) -> tuple[int, ...]:
        """The alphabets of the positions whose codes are stored."""
        return without_prefix(self.codebook_sizes, self.prefix)

    @abstractmethod
    def _read_codes(self, n_id: Tensor | None) -> Tensor:
        """Codes ``[B, D]`` of flat ids in range."""

    @abstractmethod
    def _coded(self, n_id: Tensor | None) -> CodedFeatures:
        """Features of flat ids in range."""

    def _row_elements(self) -> int:
        """Numbers that reading the codes of one node forms at once."""
        return self.num_codebooks

    @torch.no_grad()
    def codes(self, n_id: Tensor | None = None) -> Tensor:
        """The codes of nodes as they would be exported.

        Args:
            n_id: Integer ids of any shape, or ``None`` for all nodes.

        Returns:
            ``int64`` codes ``[*n_id.shape, D]``.

        Raises:
            TypeError: Ids that are not integers.
            IndexError: Ids outside ``[0, N)``.
        """
        if n_id is None:
            return torch.cat(list(self._code_chunks()))
        self._check_ids(n_id)
        codes = self._in_eval_mode(n_id.reshape(-1).long())
        return codes.reshape(*n_id.shape, self.num_codebooks)

    def coded(self, n_id: Tensor | None = None) -> CodedFeatures:
        """The vectors of nodes as codes, for the layers of :mod:`kdgraph.nn`.

        ``conv(encoder.coded(n_id), edge_index)`` is ``conv(encoder(n_id), edge_index)``
        within rounding, gradients included, and where the composition is linear the
        vectors are never formed. Made anew for every step, by a forward pass as any
        other, so that hooks see it.

        Args:
            n_id: Integer ids ``[B]``, or ``None`` for all nodes.

        Raises:
            TypeError: Ids that are not integers.
            ValueError: Ids of more than one axis.
            IndexError: Ids outside ``[0, N)``.

        Example:
            >>> from kdgraph import KDEmbedding
            >>> from kdgraph.nn import CodedGCNConv
            >>> encoder = KDEmbedding(4, 8, num_codebooks=4, codebook_size=3)
            >>> conv = CodedGCNConv(8, 2)
            >>> edge_index = torch.tensor([[0, 1, 2], [1, 2, 3]])
            >>> y = conv(encoder.coded(), edge_index)
            >>> bool((y - conv(encoder(), edge_index)).abs().max() < 1e-6)
            True
        """
        features: CodedFeatures
        features, _ = self(n_id, output="coded")
        return features

    @override
    def forward(self, n_id: Tensor | None = None, *, output: Output = "vectors") -> Any:
        if output != "coded":
            return super().forward(n_id, output=output)
        features = self._coded_checked(n_id)
        # Beside the features, what their gradients come through: hooks on outputs, such
        # as those of FSDP, look for tensors.
        return features, features.tensors()

    def _coded_checked(self, n_id: Tensor | None) -> CodedFeatures:
        if n_id is None:
            return self._coded(None)
        self._check_ids(n_id)
        if n_id.dim() != 1:
            raise ValueError(
                f"{type(self).__name__}.coded expects ids [B], one for each row of the "
                f"graph, got shape {list(n_id.shape)}"
            )
        return self._coded(n_id.long())

    def code_table(self) -> CodeTable:
        """The codes of all nodes, packed chunk by chunk."""
        sizes = self.packed_sizes
        told = self.num_codebooks - len(sizes)
        parts = [pack(codes[:, told:], sizes) for codes in self._code_chunks()]
        return CodeTable(torch.cat(parts), self.codebook_sizes, self.prefix)

    def code_stats(self) -> CodeStats:
        """Usage, perplexity, unique codes and dead codewords over all nodes."""
        return code_stats(self.code_table())

    @override
    def stored_tensors(self) -> dict[str, Tensor]:
        """Packed codes, boundaries and map of a prefix, and those of the composer."""
        stored = {"codes": self.code_table().packed, **self.composer.stored_tensors()}
        if self.prefix is not None:
            stored["boundaries"] = self.prefix.boundaries
            if self.prefix.places is not None:
                stored["places"] = self.prefix.places.packed
        return stored

    @override
    def inference_bytes(self) -> int:
        r"""Exact bytes as stored: packed codes, codebooks and composer.

        :math:`N \lceil \sum_j \lceil \log_2 K_j \rceil / 8 \rceil` for the codes, plus
        the tensors of the composer. Of positions that an order implies, only the
        boundaries of its clusters are stored, and the map from ids to places, unless
        ids are places.
        """
        codes = self.num_nodes * row_bytes(self.packed_sizes)
        implied = 0 if self.prefix is None else self.prefix.nbytes
        return codes + implied + self.composer.stored_bytes()

    @torch.no_grad()
    def factors(self) -> tuple[Tensor, Tensor]:
        r"""The embedding as a sparse binary low-rank factorisation, :math:`E = B C`.

        Only for the linear compositions (sum and concat). As every row of B has D ones,
        :math:`\mathrm{rank}(E) \le \min(N, C, \sum_j K_j - D + 1)`: full rank needs
        :math:`\sum_j K_j - D + 1 \ge C`.

        Returns:
            B, ``torch.sparse`` CSR ``[N, sum(K_j)]`` with D ones a row, and C,
            ``[sum(K_j), embedding_dim]``.

        Raises:
            TypeError: The composer is not linear.
            ValueError: Its normalisation is not.
        """
        if not isinstance(self.composer, LinearComposer):
            raise TypeError(
                f"factors() needs a linear composition, got {self.composer!r}; "
                "SumComposer and ConcatComposer have factors"
            )
        basis = self.composer.basis()
        offsets = torch.tensor(
            position_offsets(self.codebook_sizes), device=basis.device
        )
        columns = (self.codes() + offsets).flatten()
        rows = (
            torch.arange(self.num_nodes + 1, device=basis.device) * self.num_codebooks
        )
        with warnings.catch_warnings():
            # The layout is announced as beta, once; the indices are checked here.
            warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
            warnings.filterwarnings("ignore", message="Sparse invariant checks")
            binary = torch.sparse_csr_tensor(
                rows,
                columns,
                torch.ones_like(columns, dtype=basis.dtype),
                size=(self.num_nodes, basis.size(0)),
                check_invariants=True,
            )
        return binary, basis

    def extra_repr(self) -> str:
        """Sizes, positions, alphabets and the composer."""
        sizes: int | list[int] = list(self.codebook_sizes)
        if len(set(self.codebook_sizes)) == 1:
            sizes = self.codebook_sizes[0]
        prefix = "" if self.prefix is None else f", prefix={self.prefix!r}"
        return (
            f"{super().extra_repr()}, num_codebooks={self.num_codebooks}, "
            f"codebook_size={sizes}, composer={self.composer!r}{prefix}"
        )

    @torch.no_grad()
    def _code_chunks(self) -> Iterator[Tensor]:
        """Codes of all nodes, as many rows at once as keep the logits small."""
        rows = max(1, _CHUNK_ELEMENTS // self._row_elements())
        device = self.composer.weight.device
        for start in range(0, self.num_nodes, rows):
            stop = min(start + rows, self.num_nodes)
            yield self._in_eval_mode(torch.arange(start, stop, device=device))

    def _in_eval_mode(self, n_id: Tensor) -> Tensor:
        """Read codes without sampling noise or touching statistics."""
        modes = [(module, module.training) for module in self.modules()]
        self.eval()
        try:
            return self._read_codes(n_id)
        finally:
            for module, training in modes:
                module.training = training
