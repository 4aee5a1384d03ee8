"""The table of a record, for a terminal and for a page."""

from typing import Any, NamedTuple

HEADER = (
    "rival",
    "best, s",
    "median, s",
    "n",
    "ratio",
    "inputs, MiB",
    "extra, MiB",
    "of the roof",
    "deviation",
)
_MIB = 1 << 20


class Row(NamedTuple):
    """One rival of a record.

    Args:
        name: Of the rival.
        label: In tables.
        status: ``"ok"``, or how it ended.
        reason: Why it did not end well.
        seconds: The best.
        ratio: Of its best to that of what it is compared with.
        memory: Bytes of inputs, output and what it took beside them.
        cells: As the table shows them.
    """

    name: str
    label: str
    status: str
    reason: str
    seconds: float | None
    ratio: float | None
    memory: int | None
    cells: tuple[str, ...]


def rows(record: dict[str, Any]) -> list[Row]:
    """Every rival, in the order of running."""
    results = record["rivals"]
    return [_row(name, result, results) for name, result in results.items()]


def _row(name: str, result: dict[str, Any], results: dict[str, Any]) -> Row:
    label, status = result["label"], result["status"]
    inputs = sum(result["input_bytes"].values())
    if status != "ok":
        blank = [status, *["-"] * (len(HEADER) - 2)]
        reason = result["reason"]
        return Row(name, label, status, reason, None, None, None, (label, *blank))
    best, compared = result["best_seconds"], results[result["baseline"]]
    ratio = best / compared["best_seconds"] if "best_seconds" in compared else None
    extra, roof = result["extra_bytes"], result.get("roof")
    cells = (
        label,
        f"{best:.4g}",
        f"{result['median_seconds']:.4g}",
        str(sum(len(run) for run in result["seconds"])),
        "-" if ratio is None else f"{ratio:.2f}",
        f"{inputs / _MIB:,.0f}",
        "-" if extra is None else f"{extra / _MIB:,.0f}",
        f"{100 * roof['fraction']:.0f} %, {roof['binding']}" if roof else "-",
        f"{result['difference']:.0e}",
    )
    memory = None if extra is None else inputs + result["output_bytes"] + extra
    return Row(name, label, status, "", best, ratio, memory, cells)


def drift(record: dict[str, Any]) -> float | None:
    """By how much the first rival was slower when it ran again at the end."""
    first = next(iter(record["rivals"].values()))
    if first["status"] != "ok" or not record["again_seconds"]:
        return None
    return float(min(record["again_seconds"]) / min(first["seconds"][0]) - 1.0)


def title(record: dict[str, Any]) -> str:
    """What was measured on which graph."""
    setting = record["setting"]
    what = {
        "forward": "forward",
        "both": "first layer, forward and backward",
        "gather": "random rows",
        "epoch": "one training step",
        "plain": "forward, without the compiled core",
        "plain-both": "first layer, forward and backward, without the compiled core",
    }[setting["suite"]]
    nodes, edges = setting["num_nodes"], setting["num_edges"]
    return (
        f"{what}: {nodes:,} nodes, {edges:,} edges, {setting['degrees']} degrees, "
        f"{setting['channels']} channels"
    )


def text(record: dict[str, Any]) -> str:
    """The table with its columns aligned, and what went wrong below."""
    found = rows(record)
    lines = [HEADER, *(row.cells for row in found)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADER))]
    parts = [title(record), ""]
    for line in lines:
        cells = [line[0].ljust(widths[0])]
        cells += [
            cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)
        ]
        parts.append("  ".join(cells))
    parts += [f"{row.label}: {row.reason}" for row in found if row.reason]
    apart = drift(record)
    if apart is not None:
        parts.append(f"{found[0].label}, once more at the end: {apart:+.0%}")
    return "\n".join(parts)
