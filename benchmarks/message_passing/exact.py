"""What every rival must give, in float64 and by other means than any of them.

Neither an N x C nor an E x C array exists here: sums over all rows go through counts
of codes, and single rows are drawn from all over the graph.
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from benchmarks.message_passing.inputs import Inputs
from benchmarks.message_passing.setting import CLASSES

ROWS = 64
_CHUNK_ROWS = 1 << 16
Signature = dict[str, NDArray[np.float64]]


def expected(inputs: Inputs) -> Signature:
    """What the suite of the setting must give, by name."""
    suite = inputs.setting.suite
    if suite == "gather":
        n_id = inputs.n_id.numpy()
        counts = np.bincount(n_id, minlength=inputs.setting.num_nodes)
        rows = _vectors(inputs, n_id[sampled(len(n_id))])
        return {"rows": rows, "columns": _weighted(inputs, counts.astype(np.float64))}
    if suite == "epoch":
        return {"rows": _logits(inputs)[sampled(inputs.setting.num_nodes)]}
    rows = _neighbour_sums(inputs)
    if suite in ("forward", "plain"):
        columns = _weighted(inputs, _by_source(inputs, None))
        linear = _linear(inputs, 0)
        return {
            "rows": rows,
            "columns": columns,
            "mapped rows": rows @ linear.T,
            "mapped columns": columns @ linear.T,
        }
    return {"mapped rows": rows @ _linear(inputs, 0).T, **_gradients(inputs)}


def sampled(count: int) -> NDArray[np.int64]:
    """Rows whose values are compared one by one; the first and the last among them."""
    drawn = np.random.default_rng(count).integers(count, size=ROWS)
    return np.concatenate(([0, count - 1], drawn))


def row_sums(inputs: Inputs, output: Tensor, prefix: str = "") -> Signature:
    """The part of an output that is compared: some rows, and the sum of all."""
    rows = output[torch.from_numpy(sampled(output.size(0)))]
    columns = torch.zeros(output.size(1), dtype=torch.float64)
    for block in torch.split(output, _CHUNK_ROWS):
        columns += block.sum(dim=0, dtype=torch.float64)
    found = {f"{prefix}rows": rows.double().numpy()}
    if inputs.setting.suite in ("forward", "gather", "plain"):
        found[f"{prefix}columns"] = columns.numpy()
    return found


def difference(found: Signature, expected: Signature) -> float:
    """The largest deviation, relative to the largest value of each part."""
    return max(
        float(np.abs(value - expected[name]).max() / np.abs(expected[name]).max())
        for name, value in found.items()
    )


def save(folder: Path, inputs: Inputs) -> None:
    """Leave what is expected for other processes."""
    np.savez(folder / "expected.npz", allow_pickle=False, **expected(inputs))


def load(folder: Path) -> Signature:
    """What :func:`save` left."""
    with np.load(folder / "expected.npz") as parts:
        return dict(parts)


def _linear(inputs: Inputs, layer: int, rows: int = 0) -> NDArray[np.float64]:
    channels = inputs.setting.channels
    drawn: NDArray[np.float64] = (
        inputs.linear(layer, rows or channels, channels).double().numpy()
    )
    return drawn


def _vectors(inputs: Inputs, nodes: NDArray[np.int64]) -> NDArray[np.float64]:
    codes, books = inputs.codes.numpy()[nodes], inputs.codebooks.double().numpy()
    parts = [book[codes[:, j]] for j, book in enumerate(books)]
    return np.concatenate(parts, axis=1)


def _neighbour_sums(inputs: Inputs) -> NDArray[np.float64]:
    rowptr, col = inputs.rowptr.numpy(), inputs.col.numpy()
    weight = inputs.weight.numpy()
    sums = []
    for node in sampled(inputs.setting.num_nodes):
        edges = slice(rowptr[node], rowptr[node + 1])
        sums.append(weight[edges].astype(np.float64) @ _vectors(inputs, col[edges]))
    return np.stack(sums)


def _by_source(
    inputs: Inputs, by_target: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """The transposed graph times a vector, of ones if it is ``None``."""
    weight = inputs.weight.numpy().astype(np.float64)
    if by_target is not None:
        weight *= np.repeat(by_target, np.diff(inputs.rowptr.numpy()))
    nodes = inputs.setting.num_nodes
    sums = np.bincount(inputs.col.numpy(), weights=weight, minlength=nodes)
    return sums.astype(np.float64, copy=False)


def _counted(inputs: Inputs, by_node: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much of a vector over nodes falls on each codeword, ``[D, K]``."""
    size = inputs.setting.codebook_size
    return np.stack(
        [
            np.bincount(codes, weights=by_node, minlength=size)
            for codes in inputs.codes.numpy().T
        ]
    )


def _weighted(inputs: Inputs, by_node: NDArray[np.float64]) -> NDArray[np.float64]:
    """A vector over nodes times the table, ``[C]``."""
    books = inputs.codebooks.double().numpy()
    sums: NDArray[np.float64] = np.einsum(
        "jk,jks->js", _counted(inputs, by_node), books
    )
    return sums.reshape(-1)


def _gradients(inputs: Inputs) -> Signature:
    r"""Those of :math:`\langle a b^T, P X W^T \rangle`.

    By W it is :math:`b (X^T P^T a)^T`, by X :math:`(P^T a)(b^T W)`, and by a codeword
    the sum of the latter's slices over the nodes that have it.
    """
    by_node, by_channel = (
        factor.double().numpy() for factor in inputs.upstream_factors()
    )
    by_source = _by_source(inputs, by_node)
    positions = inputs.setting.num_codebooks
    slices = (by_channel @ _linear(inputs, 0)).reshape(positions, 1, -1)
    return {
        "linear": np.outer(by_channel, _weighted(inputs, by_source)),
        "codebooks": _counted(inputs, by_source)[:, :, None] * slices,
    }


def _logits(inputs: Inputs) -> NDArray[np.float64]:
    """Class scores of the three layers as they start, without dropout."""
    nodes = inputs.setting.num_nodes
    parts = (inputs.weight.numpy(), inputs.col.numpy(), inputs.rowptr.numpy())
    adj = sparse.csr_array(parts, shape=(nodes, nodes)).astype(np.float64)
    x = _vectors(inputs, np.arange(nodes))
    for layer in (0, 1):
        x = adj @ (x @ _linear(inputs, layer).T)
        x = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5)
        x = np.maximum(x, 0.0)
    logits: NDArray[np.float64] = adj @ (x @ _linear(inputs, 2, CLASSES).T)
    return logits
