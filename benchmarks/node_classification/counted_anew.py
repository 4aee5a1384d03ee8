"""What changed on the page of all methods since the map of ids is counted."""

from __future__ import annotations

from benchmarks.harness.recount import RECOUNTED
from benchmarks.harness.summary import table
from benchmarks.node_classification.graphs import TITLES
from benchmarks.node_classification.outcome import Outcome


def counted_anew(found: dict[str, list[Outcome]]) -> str:
    """Results from before the map was counted: what they keep, and may keep.

    Args:
        found: Outcomes by graph.
    """
    rows, within = [], 0
    for dataset, here in found.items():
        for one in here:
            if not one.seeds or not one.result.get(RECOUNTED):
                continue
            if not one.over_budget:
                within += 1
                continue
            full = one.result["full_bytes"]
            allowed = float(one.record["config"]["options"]["compression"])
            rows.append(
                [
                    one.label,
                    TITLES[dataset],
                    f"{allowed:g}x",
                    f"{full / one.inference_bytes_in_order:.1f}x",
                    f"{full / one.inference_bytes:.1f}x",
                ]
            )
    if not rows and not within:
        return ""
    rows.sort()
    text = (
        "## Counted anew\n\nUntil maps from ids to places were counted, codes and "
        "tensor trains that an order of the nodes implies were taken to keep nothing "
        f"for it. {len(rows) + within} results of this page are from then. Their "
        "scores are as they were measured; their bytes are counted anew from the "
        "configuration and the number of nodes, and they were **not run anew**. "
        f"{within} of them are within what they were allowed all the same. The "
        f"{len(rows)} of this table keep more: what was said of them at their budget "
        "holds for a graph that is stored in their order, and for no other. A run of "
        "today takes a smaller train, or other codes, so that the map fits.\n\n"
    )
    header = ["method", "graph", "allowed", "stored in order", "with the map"]
    return text + table(header, rows) + "\n"
