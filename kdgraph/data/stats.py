"""Numbers that describe a labelled graph."""

from __future__ import annotations

import numpy as np

from kdgraph.data.graph import Graph


def homophily(graph: Graph) -> float:
    r"""Return the edge homophily: the share of edges that join equal labels.

    .. math::
        h = \frac{|\{(u, v) \in E : y_u = y_v\}|}{|E|}

    over the edges whose two ends are labelled, self-loops included, as in
    ``torch_geometric.utils.homophily(method="edge")``.

    Args:
        graph: A graph with one class per node.

    Returns:
        A number in [0, 1], or ``nan`` where no edge joins two labelled nodes.

    Raises:
        ValueError: If nodes carry several labels at once.

    Example:
        >>> from kdgraph.data import sbm
        >>> 0.4 < homophily(sbm(num_nodes=1000, seed=0)) < 0.9
        True
    """
    if graph.multi_label:
        raise ValueError(
            f"'homophily' expects one class per node, but '{graph.name}' has labels of "
            f"shape {list(graph.y.shape)}."
        )
    y = graph.y.cpu().numpy()
    target = np.repeat(y, np.diff(graph.adj.indptr))
    source = y[graph.adj.indices]
    labelled = (target >= 0) & (source >= 0)
    count = int(np.count_nonzero(labelled))
    if count == 0:
        return float("nan")
    return int(np.count_nonzero((target == source) & labelled)) / count
