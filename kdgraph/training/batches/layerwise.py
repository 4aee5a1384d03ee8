"""Layer-wise inference: scores of any number of nodes in bounded memory."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from kdgraph.training.batches.blocks import Block, BlockSampler
from kdgraph.training.batches.layers import Features, run_layer
from kdgraph.training.ranks import Ranks

_EDGES = 1 << 20
_TARGETS = 1 << 16


class LayerwiseInference:
    """Score nodes exactly, one layer after the other (Hamilton et al., NeurIPS 2017).

    A layer is computed for the nodes that the next one reads, a chunk of targets at a
    time with all of their neighbours, so that nothing is computed twice and nothing
    grows with the number of edges. What is kept of a hidden layer is ``[n, H]`` for the
    n nodes that are read: as ``float32`` where that fits into ``memory``, else as
    ``bfloat16``, and where that does not fit either in a temporary file. The first
    layer reads codes, for which nothing is kept.

    Args:
        gnn: One of :data:`kdgraph.training.networks.NETWORKS`, in evaluation mode.
        sampler: Of the graph.
        memory: Bytes that hidden layers may take.
        ranks: The processes that share the work. (default: this one)
        device: Where the network is. (default: the CPU)
    """

    def __init__(
        self,
        gnn: torch.nn.Module,
        sampler: BlockSampler,
        memory: int,
        ranks: Ranks | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.gnn = gnn
        self.sampler = sampler
        self.memory = memory
        self.ranks = ranks or Ranks()
        self.device = device or torch.device("cpu")

    @torch.no_grad()
    def __call__(
        self, features: Callable[[Tensor], Features], rows: Tensor | None = None
    ) -> Tensor:
        """Class scores of nodes.

        Args:
            features: Gives the features of nodes ``[B]``.
            rows: The nodes, ``[B]``; ``None`` for all.

        Returns:
            ``[B, T]``.
        """
        layers = len(self.gnn.convs)  # type: ignore[arg-type]
        targets = self._targets(rows, layers)
        read, scores = features, None
        joins = getattr(self.gnn, "jk_mode", None) is not None
        with tempfile.TemporaryDirectory(prefix="kdgraph-") as folder:
            for layer in range(layers):
                last = layer == layers - 1
                whole = last and not joins
                file = None if whole else Path(folder) / f"layer-{layer}"
                hidden = self._layer(layer, read, targets[layer], file)
                rows_of = _Rows(hidden, targets[layer], self.sampler.num_nodes)
                read = rows_of
                if joins:
                    part = self._share(layer, rows_of, targets[-1])
                    scores = part if scores is None else scores.add_(part)
                if last:
                    found = hidden if scores is None else scores
                    return found if rows is None else _back(found, rows, targets[-1])
        raise ValueError("LayerwiseInference expects a network with layers, got none")

    def _share(
        self, layer: int, read: Callable[[Tensor], Tensor], nodes: Tensor
    ) -> Tensor:
        """What a layer adds to scores that are a linear map of all layers, joined."""
        linear: torch.nn.Linear = self.gnn.lin  # type: ignore[assignment]
        width = linear.weight.size(1) // len(self.gnn.convs)  # type: ignore[arg-type]
        weight = linear.weight[:, layer * width : (layer + 1) * width]
        bias = linear.bias if layer == 0 else None
        parts = [
            functional.linear(read(some).to(self.device), weight, bias).cpu()
            for some in torch.split(nodes, _TARGETS)
        ]
        return torch.cat(parts)

    def _targets(self, rows: Tensor | None, layers: int) -> list[Tensor]:
        """The nodes that each layer is computed for, ascending."""
        count = self.sampler.num_nodes
        if rows is None:
            return [torch.arange(count)] * layers
        found = [torch.unique(rows.cpu())]
        while len(found) < layers:
            nodes = found[0]
            if nodes.numel() < count:
                wanted = torch.zeros(count, dtype=torch.bool)
                for chunk in self._chunks(nodes):
                    wanted[self.sampler.draw(nodes[chunk], -1).n_id] = True
                nodes = wanted.nonzero().flatten()
            found.insert(0, nodes)
        return found

    def _layer(
        self,
        layer: int,
        read: Callable[[Tensor], Features],
        targets: Tensor,
        file: Path | None,
    ) -> Tensor:
        own = self.ranks.part(targets.numel())
        mine, hidden, begin = targets[own], None, own.start
        for chunk in self._chunks(mine):
            block = self.sampler.draw(mine[chunk], -1)
            part = self._part(layer, read, block)
            if hidden is None:
                hidden = self._kept(targets.numel(), part, file)
            hidden[begin + chunk.start : begin + chunk.stop] = part
        if hidden is None:
            # Nothing to do here: learn the width from no node.
            block = self.sampler.draw(targets[:0], -1)
            part = self._part(layer, read, block)
            hidden = self._kept(targets.numel(), part, file)
        return self.ranks.fill(hidden)

    def _part(
        self, layer: int, read: Callable[[Tensor], Features], block: Block
    ) -> Tensor:
        block = block.to(self.device)
        return run_layer(self.gnn, layer, read(block.n_id), block).cpu()

    def _kept(self, count: int, like: Tensor, file: Path | None) -> Tensor:
        """Room for a row of each of ``count`` nodes."""
        shape, size = (count, like.size(1)), 4 * count * like.size(1)
        # Two layers are there at a time.
        if file is None or 2 * size <= self.memory:
            return torch.empty(shape, dtype=torch.float32)
        if size <= self.memory:
            return torch.empty(shape, dtype=torch.bfloat16)
        whole = torch.from_file(
            str(file), shared=True, size=count * like.size(1), dtype=torch.bfloat16
        )
        return whole.view(shape)

    def _chunks(self, nodes: Tensor) -> Iterator[slice]:
        """Runs of nodes with a bounded number of edges, or a single node."""
        for start in range(0, nodes.numel(), _TARGETS):
            part = nodes[start : start + _TARGETS]
            edges = self.sampler.degree(part).cumsum(0)
            begin, done = 0, 0
            while begin < part.numel():
                wanted = torch.tensor(done + _EDGES)
                stop = int(torch.searchsorted(edges, wanted, right=True))
                stop = max(stop, begin + 1)
                yield slice(start + begin, start + stop)
                begin, done = stop, int(edges[stop - 1])


class _Rows:
    """Rows of a hidden layer by the id of their node."""

    def __init__(self, hidden: Tensor, nodes: Tensor, count: int) -> None:
        self.hidden = hidden
        self.place: Tensor | None = None
        if nodes.numel() < count:
            self.place = torch.empty(count, dtype=torch.int32)
            self.place[nodes] = torch.arange(nodes.numel(), dtype=torch.int32)

    def __call__(self, n_id: Tensor) -> Tensor:
        nodes = n_id.cpu()
        rows = nodes if self.place is None else self.place[nodes]
        return self.hidden[rows].float().to(n_id.device)


def _back(hidden: Tensor, rows: Tensor, nodes: Tensor) -> Tensor:
    """Rows of ascending nodes in the order that was asked for."""
    return hidden[torch.searchsorted(nodes, rows.cpu())]
