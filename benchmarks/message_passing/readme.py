"""The README's table of times, from the results."""

from typing import Any, NamedTuple

from benchmarks.message_passing import table
from benchmarks.message_passing.setting import GATHERED
from benchmarks.readme import with_block


class _Line(NamedTuple):
    """What is measured, and the rival that stands for what people have.

    Args:
        suite: See :class:`benchmarks.message_passing.setting.Setting`.
        num_nodes: Of the graph; 0 for any.
        label: In the table.
        rivals: Names and labels of rivals.
    """

    suite: str
    num_nodes: int
    label: str
    rivals: tuple[tuple[str, str], ...]


_SPARSE = (("torch-sparse", "`torch.sparse`"), ("neighbor-sum", "our float kernel"))
_LAYER = (("pyg-csr", "PyG `GCNConv`, CSR"),)
_LINES = (
    _Line("forward", 1_000_000, "sum over neighbours", _SPARSE),
    _Line("forward", 2_400_000, "sum over neighbours", _SPARSE),
    _Line("forward", 1_000_000, "GCN layer, forward", _LAYER),
    _Line(
        "both",
        1_000_000,
        "GCN layer, forward and backward",
        (("pyg-both", "PyG `GCNConv`, CSR"),),
    ),
    _Line("gather", 2_400_000, "rows of nodes", (("embedding", "`nn.Embedding`"),)),
    _Line(
        "epoch", 0, "training step, three layers", (("pyg-epoch", "PyG `GCN`, Adam"),)
    ),
)


def with_speed(readme: str, records: list[dict[str, Any]]) -> str:
    """The README with times as the results have them."""
    header = ["on codes", "graph", "takes", "on the float table"]
    lines = ["| " + " | ".join(header) + " |", "|---|---|---:|---|"]
    for line in _LINES:
        lines += [_row(line, one) for one in records if _shows(line, one)]
    return with_block(readme, "speed", "\n".join(lines) + "\n")


def _shows(line: _Line, record: dict[str, Any]) -> bool:
    setting = record["setting"]
    wanted = setting["suite"] == line.suite and setting["channels"] == 128
    usual = setting["degrees"] in ("uniform", "real")
    size = line.num_nodes in (0, setting["num_nodes"])
    return bool(wanted and usual and size)


def _row(line: _Line, record: dict[str, Any]) -> str:
    rivals = record["rivals"]
    ratios = {row.name: row.ratio for row in table.rows(record)}
    compared = [
        f"{label}: {ratios[name]:.1f} times as long" for name, label in line.rivals
    ]
    own = rivals[rivals[line.rivals[0][0]]["baseline"]]["best_seconds"]
    size = _size(record["setting"])
    return f"| {line.label} | {size} | {own:.2g} s | {'; '.join(compared)} |"


def _size(setting: dict[str, Any]) -> str:
    nodes, edges = setting["num_nodes"], setting["num_edges"]
    if setting["suite"] == "epoch":
        return "ogbn-arxiv"
    if setting["suite"] == "gather":
        return f"{_short(min(GATHERED, nodes))} of {_short(nodes)} nodes"
    return f"{_short(nodes)} nodes, {_short(edges)} edges"


def _short(count: int) -> str:
    return f"{count / 1e6:g} M"
