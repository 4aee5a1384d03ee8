"""PackedEmbedding: frozen bits and a composer, an encoder again."""

import copy
import os
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor
from typing_extensions import override

from kdgraph.artifact import read_artifact, write_artifact
from kdgraph.coded import CodedEncoder
from kdgraph.coded_features import CodedFeatures
from kdgraph.codes import CodeTable, Prefix
from kdgraph.codes.check import check_code_range, check_state, may_exceed
from kdgraph.codes.explicit import ExplicitCodes
from kdgraph.codes.table import CHUNK_ROWS, read_codes
from kdgraph.composers import Composer
from kdgraph.encoder import Encoding
from kdgraph.ops import PackedSelection, Selection, unpack


class PackedEmbedding(CodedEncoder):
    r"""Frozen codes and a frozen composer: what is left of an encoder after training.

    It takes :math:`N \lceil \sum_j \lceil \log_2 K_j \rceil / 8 \rceil` bytes for the
    codes, in memory as in a file, and the tensors of the composer. Of positions that an
    order of the nodes implies, only boundaries are stored, and the map from ids to
    places, :math:`\lceil \log_2 N \rceil` bits a node, where ids are not places.

    Args:
        table: The packed codes.
        composer: A bound composer; it is copied.

    Shapes:
        - **input:** ids of any shape, or ``None`` for all nodes
        - **output:** vectors ``[*n_id.shape, C]``, or ``[N, C]``

    Raises:
        ValueError: Codes and composer that do not fit.

    Example:
        >>> from kdgraph import KDEmbedding
        >>> encoder = KDEmbedding(1000, 64, num_codebooks=16, codebook_size=32)
        >>> packed = encoder.export()
        >>> torch.equal(packed(), encoder.eval()())
        True
        >>> packed.inference_bytes()  # 1000 x 10 bytes of codes, 16 x 32 x 4 floats
        18192
    """

    packed: Tensor
    implicit: Prefix | None
    _unverified: bool = False

    def __init__(self, table: CodeTable, composer: Composer) -> None:
        super().__init__(table.num_nodes, composer.embedding_dim)
        if table.codebook_sizes != composer.codebook_sizes:
            raise ValueError(
                f"PackedEmbedding got codes with K = {table.codebook_sizes} and a "
                f"composer for K = {composer.codebook_sizes}"
            )
        self.register_buffer("packed", table.packed)
        self.implicit = copy.deepcopy(table.prefix)
        self.explicit = ExplicitCodes()
        self.composer = copy.deepcopy(composer).freeze()
        self.eval()

    @property
    @override
    def prefix(self) -> Prefix | None:
        """The prefix that came with the codes."""
        return self.implicit

    def reset_parameters(self) -> None:
        """Nothing is learned here, so nothing is drawn."""

    @override
    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation, whatever the model around it does: this is frozen."""
        return super().train(mode=False)

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        gnn: Mapping[str, Tensor] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Write one safetensors file: codes, composer, and a model's weights if wanted.

        Its size is ``inference_bytes()``, plus the bytes of ``gnn``, plus a header:
        below 4 kB for up to some thirty tensors and little metadata. The file is
        written beside and renamed at the end, so an older one stays whole until then.

        Args:
            path: Where to, by convention ``*.kdg.safetensors``.
            gnn: Weights to keep beside, such as ``model.state_dict()``;
                :func:`kdgraph.artifact.read_artifact` gives them back.
            metadata: JSON values to keep beside, such as how to build that model.

        Raises:
            TypeError: Weights that are no tensors by name, metadata that is no mapping.
            ValueError: What a file cannot keep: a composer of another package, codes
                above their alphabet, codewords that are not finite.
            OSError: The file cannot be written.

        Example:
            >>> import os, tempfile
            >>> from kdgraph import KDEmbedding
            >>> encoder = KDEmbedding(1000, 64, num_codebooks=16, codebook_size=32)
            >>> encoder = encoder.export()
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     path = os.path.join(folder, "model.kdg.safetensors")
            ...     encoder.save(path)
            ...     header = os.path.getsize(path) - encoder.inference_bytes()
            ...     loaded = PackedEmbedding.load(path)
            >>> header < 4096, torch.equal(loaded(), encoder())
            (True, True)
        """
        table = self.code_table()
        write_artifact(path, table, self.composer, gnn=gnn, metadata=metadata)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, verify: bool = True) -> Self:
        """Read what :meth:`save` wrote; the vectors are the same bit for bit.

        The codes are mapped, not read: the system fetches a page when a node on it is
        asked for. Renaming another file over this one is harmless; overwriting it in
        place is not.

        Args:
            path: The file.
            verify: Read all codes once, in pieces, to check their checksum and that
                none is above its alphabet. Without it everything else is still checked,
                and that none is above its alphabet whenever some are decoded, except
                in compiled code. (default: ``True``)

        Raises:
            ValueError: Not a file, not readable, or not a sound artifact; one sentence
                names the file and what is wrong.

        Warns:
            UserWarning: A file of an older version whose codes are implied by an order
                of the nodes that it does not hold.
        """
        artifact = read_artifact(path, verify=verify)
        artifact.warn_if_it_lacks_a_map()
        encoder = cls(artifact.table, artifact.composer)
        encoder._unverified = not verify and may_exceed(artifact.table.packed_sizes)
        return encoder

    @override
    def code_table(self) -> CodeTable:
        """The codes as they are stored, row by row: no copy."""
        return CodeTable(self.packed, self.codebook_sizes, self.prefix)

    @override
    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *rest: Any
    ) -> None:
        name = type(self).__name__
        check_state(
            state_dict.get(f"{prefix}packed"), self.packed, self.packed_sizes, name
        )
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _read_codes(self, n_id: Tensor | None) -> Tensor:
        codes = read_codes(self.packed, n_id, self.packed_sizes, self.prefix)
        on_cpu = codes.device.type == "cpu"
        if self._unverified and on_cpu and not torch.compiler.is_compiling():
            # A code above its alphabet would read the codeword of another position.
            check_code_range(codes, self.codebook_sizes)
        return codes

    @override
    def _coded(self, n_id: Tensor | None) -> CodedFeatures:
        table = self.explicit(self.packed, n_id, self.packed_sizes, self.prefix)
        if self._unverified and table.packed.device.type == "cpu":
            for part in torch.split(table.packed, CHUNK_ROWS):
                check_code_range(unpack(part, self.codebook_sizes), self.codebook_sizes)
        selection = PackedSelection(table)
        penalty = self.composer.weight.new_zeros(())
        return CodedFeatures(self.composer, selection, penalty)

    def _encode(self, n_id: Tensor | None) -> Encoding:
        selection = Selection(self._read_codes(n_id))
        x = self.composer(selection)
        return Encoding(x, x.new_zeros(()), selection)
