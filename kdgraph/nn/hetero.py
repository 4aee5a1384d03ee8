"""HeteroEncoder: one encoder per node type."""

import os
from collections.abc import Mapping
from typing import Any, Self

from torch import Tensor, nn
from torch.optim import Optimizer
from torch_geometric.nn.module_dict import ModuleDict

from kdgraph.code_stats import CodeStats
from kdgraph.coded import CodedEncoder
from kdgraph.coded_features import CodedFeatures
from kdgraph.encoder import Encoder, Encoding, Output
from kdgraph.nn.hetero_file import read_types, write_types
from kdgraph.nn.table import TableEncoder
from kdgraph.optimizer_state import training_bytes


class HeteroEncoder(nn.Module):
    r"""Vectors for the nodes of a heterogeneous graph, type by type.

    What :class:`torch_geometric.nn.to_hetero` models and
    :class:`torch_geometric.nn.HeteroConv` take as ``x_dict``. Each type has an encoder
    of its own, so a large type may be coded and a small one keep a full table.

    Args:
        encoders: An encoder, or a :class:`torch.nn.Embedding`, for each node type. Any
            names do, dots included.

    Shapes:
        - **input:** ids of any shape by node type, or ``None`` for all nodes
        - **output:** vectors ``[*n_id.shape, C]`` by node type

    Raises:
        TypeError: Something that is no encoder, or a type that is no string.
        ValueError: No encoder at all, or names that differ in ``.`` and ``#`` only.

    Example:
        >>> import torch
        >>> from kdgraph import KDEmbedding
        >>> from kdgraph.baselines import FullEmbedding
        >>> encoder = HeteroEncoder({
        ...     "paper": KDEmbedding(1000, 64, num_codebooks=16, codebook_size=32),
        ...     "venue": FullEmbedding(20, 64),
        ... })
        >>> x_dict = encoder({"paper": torch.tensor([1, 5, 7]), "venue": None})
        >>> {node_type: tuple(x.shape) for node_type, x in x_dict.items()}
        {'paper': (3, 64), 'venue': (20, 64)}
        >>> encoder.inference_bytes()
        23312
    """

    def __init__(self, encoders: Mapping[str, Encoder | nn.Embedding]) -> None:
        super().__init__()
        if not encoders:
            raise ValueError("HeteroEncoder expects at least one node type, got none")
        for node_type, encoder in encoders.items():
            if not isinstance(node_type, str) or not node_type:
                raise TypeError(
                    f"HeteroEncoder expects node types as names, got {node_type!r}"
                )
            if not isinstance(encoder, Encoder | nn.Embedding):
                raise TypeError(
                    "HeteroEncoder expects an Encoder or an nn.Embedding for node type "
                    f"{node_type!r}, got {type(encoder).__name__}"
                )
        self.node_types = tuple(encoders)
        # PyG's own, since torch's refuses dots and the names of its methods.
        self.encoders = ModuleDict(
            {
                node_type: TableEncoder(encoder)
                if isinstance(encoder, nn.Embedding)
                else encoder
                for node_type, encoder in encoders.items()
            }
        )
        if len(self.encoders) != len(self.node_types):
            raise ValueError(
                f"HeteroEncoder got node types {list(self.node_types)}, of which some "
                "differ in '.' and '#' only"
            )

    def __getitem__(self, node_type: str) -> Encoder:
        """The encoder of a node type.

        Raises:
            KeyError: An unknown node type.
        """
        if node_type not in self.node_types:
            raise KeyError(
                f"HeteroEncoder has no node type {node_type!r}; it knows "
                f"{list(self.node_types)}"
            )
        encoder: Encoder = self.encoders[node_type]
        return encoder

    @property
    def num_nodes(self) -> dict[str, int]:
        """Number of nodes N, by node type."""
        return {name: self[name].num_nodes for name in self.node_types}

    @property
    def embedding_dim(self) -> dict[str, int]:
        """Width of a vector C, by node type."""
        return {name: self[name].embedding_dim for name in self.node_types}

    def reset_parameters(self) -> None:
        """Draw everything learned anew."""
        for node_type in self.node_types:
            self[node_type].reset_parameters()

    def after_epoch(self, epoch: int) -> None:
        """Tell every encoder that an epoch is over; see :class:`kdgraph.Encoder`."""
        for node_type in self.node_types:
            self[node_type].after_epoch(epoch)

    def expect_epochs(self) -> None:
        """Leave the epochs to :meth:`after_epoch`, from the first step on."""
        for node_type in self.node_types:
            self[node_type].expect_epochs()

    def encode(
        self, n_id_dict: Mapping[str, Tensor | None] | None = None
    ) -> dict[str, Encoding]:
        """Vectors, and apart from them the terms of a loss, by node type.

        Args:
            n_id_dict: Ids of the types that are wanted, ``None`` for all nodes of a
                type; or ``None`` for all nodes of all types.

        Raises:
            KeyError: An unknown node type.
            TypeError: Ids that are not integers.
            IndexError: Ids out of range.
        """
        encodings: dict[str, Encoding] = self(n_id_dict, output="encoding")
        return encodings

    def coded(
        self, n_id_dict: Mapping[str, Tensor | None] | None = None
    ) -> dict[str, CodedFeatures | Tensor]:
        """What the layers of :mod:`kdgraph.nn` read, by node type.

        Codes where an encoder has them, and else vectors; see
        ``KDEmbedding.coded``, and :meth:`encode` for the arguments.
        """
        features: dict[str, CodedFeatures | Tensor] = self(n_id_dict, output="coded")
        return features

    def forward(
        self,
        n_id_dict: Mapping[str, Tensor | None] | None = None,
        *,
        output: Output = "vectors",
    ) -> dict[str, Any]:
        """Vectors by node type; see :meth:`encode` for the arguments."""
        if n_id_dict is None:
            n_id_dict = dict.fromkeys(self.node_types)
        found: dict[str, Any] = {}
        for node_type, n_id in n_id_dict.items():
            encoder = self[node_type]
            if output != "coded":
                found[node_type] = encoder(n_id, output=output)
            elif isinstance(encoder, CodedEncoder):
                found[node_type] = encoder.coded(n_id)
            else:
                found[node_type] = encoder(n_id)
        return found

    def codes(
        self, n_id_dict: Mapping[str, Tensor | None] | None = None
    ) -> dict[str, Tensor]:
        """The codes ``[*n_id.shape, D]``, by node type.

        Args:
            n_id_dict: As for :meth:`encode`; ``None`` for all nodes of the types that
                have codes.

        Raises:
            KeyError: An unknown node type.
            TypeError: A type without codes, or ids that are not integers.
            IndexError: Ids out of range.
        """
        if n_id_dict is None:
            n_id_dict = dict.fromkeys(self._coded_types())
        return {name: self._with_codes(name).codes(i) for name, i in n_id_dict.items()}

    def code_stats(self) -> dict[str, CodeStats]:
        """Usage and perplexity of the codes, for the node types that have codes."""
        return {
            name: self._with_codes(name).code_stats() for name in self._coded_types()
        }

    def export(self) -> "HeteroEncoder":
        """Freeze every encoder: what has codes is packed, the rest is copied."""
        frozen = {name: self[name].export() for name in self.node_types}
        return HeteroEncoder(frozen).eval()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a folder: for each node type an artifact, or a table of vectors.

        What is not frozen is exported. The folder appears, or replaces an older one,
        when it is complete.

        Args:
            path: The folder.

        Raises:
            TypeError: An encoder of neither codes nor a table of vectors.
            ValueError: A path with something else on it, or what a file cannot keep.
            OSError: The folder cannot be written.

        Example:
            >>> import tempfile, torch
            >>> from kdgraph import KDEmbedding
            >>> encoder = HeteroEncoder({
            ...     "paper": KDEmbedding(100, 8, num_codebooks=4, codebook_size=4),
            ...     "venue": nn.Embedding(20, 8),
            ... })
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     encoder.export().save(f"{folder}/model")
            ...     loaded = HeteroEncoder.load(f"{folder}/model")
            >>> expected = encoder.eval()()
            >>> [torch.equal(x, expected[name]) for name, x in loaded().items()]
            [True, True]
        """
        write_types(path, {name: self[name].export() for name in self.node_types})

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, verify: bool = True) -> Self:
        """Read what :meth:`save` wrote; the vectors are the same bit for bit.

        Args:
            path: The folder.
            verify: See :meth:`kdgraph.PackedEmbedding.load`. (default: ``True``)

        Raises:
            ValueError: Not such a folder, or a file that is damaged.
        """
        return cls(read_types(path, verify=verify)).eval()

    def stored_tensors(self) -> dict[str, Tensor]:
        """What is kept after training, by node type and name."""
        return {
            f"{node_type}.{name}": tensor
            for node_type in self.node_types
            for name, tensor in self[node_type].stored_tensors().items()
        }

    def inference_bytes(self) -> int:
        """Exact bytes kept after training, over all types."""
        return sum(self[name].inference_bytes() for name in self.node_types)

    def training_bytes(self, optimizer: str | Optimizer = "adam") -> int:
        """Exact bytes held while training, over all types.

        Args:
            optimizer: A name, or an optimizer.

        Raises:
            ValueError: An unknown optimizer.
        """
        return training_bytes(self, optimizer)

    def _coded_types(self) -> list[str]:
        """The node types that have codes."""
        return [n for n in self.node_types if isinstance(self[n], CodedEncoder)]

    def _with_codes(self, node_type: str) -> CodedEncoder:
        encoder = self[node_type]
        if not isinstance(encoder, CodedEncoder):
            raise TypeError(
                f"HeteroEncoder has no codes for node type {node_type!r}, whose "
                f"encoder is a {type(encoder).__name__}; those with codes are "
                f"{self._coded_types()}"
            )
        return encoder
