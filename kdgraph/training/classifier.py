"""NodeClassifier: an encoder, PyG's network on it, and the graph between."""

from collections.abc import Sequence

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from kdgraph.coded import CodedEncoder
from kdgraph.coded_features import CodedFeatures
from kdgraph.data import Graph, gcn_norm, to_edge_index, to_torch_csr
from kdgraph.encoder import Encoder, Encoding
from kdgraph.guidance import ClassTargets, Guidance
from kdgraph.nn import Dropout
from kdgraph.training.batches import Batch, run_layers
from kdgraph.training.networks import takes_codes


class NodeClassifier(nn.Module):
    """Class scores of nodes from their codes and the graph.

    The first layer reads codes, and the vectors are not formed, where the network takes
    them and nothing has to see or change vectors: in evaluation always, and in training
    without input dropout and guidance.

    Args:
        encoder: Node ids to vectors.
        gnn: A network ``(x, edge_index) -> scores``.
        guides: Training-time companions of the encoder. (default: none)
        input_dropout: Dropout on the vectors. (default: ``0.0``)
        targets: Classes to learn beside the labels. (default: none)
    """

    def __init__(
        self,
        encoder: Encoder,
        gnn: nn.Module,
        guides: Sequence[Guidance] = (),
        input_dropout: float = 0.0,
        targets: ClassTargets | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.gnn = gnn
        self.guides = nn.ModuleList(guides)
        self.input_dropout = Dropout(input_dropout)
        self.targets = targets

    @property
    def guidance(self) -> list[Guidance]:
        """The companions, typed."""
        return [guide for guide in self.guides if isinstance(guide, Guidance)]

    def forward(self, graph: Tensor | Batch) -> tuple[Tensor, Tensor]:
        """Scores of all nodes, or of those of a mini-batch, and a penalty for the loss.

        Args:
            graph: The whole graph as the network takes it, or a part of it.

        Returns:
            ``[N, T]`` or ``[B, T]``, and a scalar.
        """
        batch = Batch(graph, None) if isinstance(graph, Tensor) else graph
        x, penalty = self._features(batch.n_id)
        if isinstance(batch.graph, Tensor):
            logits: Tensor = self.gnn(x, batch.graph)
        else:
            logits = run_layers(self.gnn, x, batch.graph)
        if self.training and self.targets is not None:
            rows, nodes = (slice(None), None) if batch.taught is None else batch.taught
            taught = self.targets(logits[rows], nodes)
            penalty = penalty + batch.taught_weight * taught
        return logits, penalty

    def _features(self, n_id: Tensor | None) -> tuple[Tensor | CodedFeatures, Tensor]:
        changed = self.input_dropout.p > 0 or len(self.guides) > 0
        kept = not (self.training and changed)
        if kept and takes_codes(self.gnn) and isinstance(self.encoder, CodedEncoder):
            features = self.encoder.coded(n_id)
            return features, features.penalty
        encoding: Encoding = self.encoder.encode(n_id)
        for guide in self.guidance:
            encoding = guide(encoding, n_id)
        return self.input_dropout(encoding.x, n_id), encoding.penalty


def features_for(
    gnn: nn.Module, encoder: Encoder, n_id: Tensor | None = None
) -> Tensor | CodedFeatures:
    """What an encoder gives a network: codes if both know them, and else vectors.

    Args:
        gnn: The network.
        encoder: The encoder.
        n_id: The nodes ``[B]``. (default: all)
    """
    if takes_codes(gnn) and isinstance(encoder, CodedEncoder):
        return encoder.coded(n_id)
    vectors: Tensor = encoder(n_id)
    return vectors


def message_graph(
    model: str, graph: Graph, device: torch.device | None = None
) -> Tensor:
    """The adjacency in the form in which PyG runs ``model`` fastest on a CPU.

    ``torch.sparse`` CSR, normalised for the GCN, with the weights of edges; attention
    scores edges one by one and takes ``edge_index``. A mean or a sum over neighbours
    counts each of them once, as the papers on SAGE and GIN have it.

    Args:
        model: ``"gcn"``, ``"sage"``, ``"gat"`` or ``"gin"``.
        graph: The graph.
        device: Where the network is. (default: the CPU)
    """
    device = device or torch.device("cpu")
    if model == "gcn":
        return to_torch_csr(gcn_norm(graph.adj)).to(device)
    if model == "gat":
        return to_edge_index(graph.adj)[0].to(device)
    adj = graph.adj
    if graph.weighted:
        ones = np.ones(adj.nnz, dtype=np.float32)
        adj = sparse.csr_array((ones, adj.indices, adj.indptr), shape=adj.shape)
    return to_torch_csr(adj).to(device)
