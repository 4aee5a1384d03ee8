"""HeteroEncoder: one encoder per node type."""

from collections.abc import Mapping

from torch import Tensor, nn
from torch.optim import Optimizer
from torch_geometric.nn.module_dict import ModuleDict

from kdgraph.encoder import Encoder, Encoding
from kdgraph.optimizer_state import training_bytes


class HeteroEncoder(nn.Module):
    r"""Vectors for the nodes of a heterogeneous graph, type by type.

    What :class:`torch_geometric.nn.to_hetero` models and
    :class:`torch_geometric.nn.HeteroConv` take as ``x_dict``. Each type has an encoder
    of its own, so a large type may be coded and a small one keep a full table.

    Args:
        encoders: An encoder for each node type. Any names do, dots included.

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

    def __init__(self, encoders: Mapping[str, Encoder]) -> None:
        super().__init__()
        if not encoders:
            raise ValueError("HeteroEncoder expects at least one node type, got none")
        for node_type, encoder in encoders.items():
            if not isinstance(node_type, str) or not node_type:
                raise TypeError(
                    f"HeteroEncoder expects node types as names, got {node_type!r}"
                )
            if not isinstance(encoder, Encoder):
                raise TypeError(
                    f"HeteroEncoder expects an Encoder for node type {node_type!r}, "
                    f"got {type(encoder).__name__}"
                )
        self.node_types = tuple(encoders)
        # PyG's own, since torch's refuses dots and the names of its methods.
        self.encoders = ModuleDict(encoders)
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

    def reset_parameters(self) -> None:
        """Draw everything learned anew."""
        for node_type in self.node_types:
            self[node_type].reset_parameters()

    def encode(
        self, n_id_dict: Mapping[str, Tensor | None] | None = None
    ) -> dict[str, Encoding]:
        """Vectors with the terms a training step adds to its loss, by node type.

        Args:
            n_id_dict: Ids of the types that are wanted, ``None`` for all nodes of a
                type; or ``None`` for all nodes of all types.

        Raises:
            KeyError: An unknown node type.
            TypeError: Ids that are not integers.
            IndexError: Ids out of range.
        """
        if n_id_dict is None:
            n_id_dict = dict.fromkeys(self.node_types)
        return {
            node_type: self[node_type].encode(n_id)
            for node_type, n_id in n_id_dict.items()
        }

    def forward(
        self, n_id_dict: Mapping[str, Tensor | None] | None = None
    ) -> dict[str, Tensor]:
        """Vectors by node type; see :meth:`encode` for the arguments."""
        encodings = self.encode(n_id_dict)
        return {node_type: encoding.x for node_type, encoding in encodings.items()}

    def export(self) -> "HeteroEncoder":
        """Freeze every encoder: what has codes is packed, the rest is copied."""
        frozen = {name: self[name].export() for name in self.node_types}
        return HeteroEncoder(frozen).eval()

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
