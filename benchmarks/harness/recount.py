"""Results from before maps were counted, with the map that their bytes lack."""

from __future__ import annotations

from typing import Any

from kdgraph.codes import CodeRecipe
from kdgraph.codes.place_map import map_bytes
from kdgraph.training.rivals import RIVALS

IN_ORDER = "inference_bytes_in_order"
RECOUNTED = "recounted"
"""Key of a result whose bytes were counted anew, and which was not run anew."""


def recount(result: dict[str, Any]) -> dict[str, Any]:
    """The same, with the map from ids to places among what is kept.

    A result that knows what a graph takes in the order that implies codes counts its
    map already. Of any other, what was kept is what it takes in that order; the map
    follows from the configuration and the number of nodes.

    Args:
        result: What training gave, as its JSON has it.
    """
    if IN_ORDER in result or not {"inference_bytes", "num_nodes"} <= result.keys():
        return result
    kept = result["inference_bytes"]
    config = result.get("config") or {}
    more = _map_bytes(config.get("method"), config.get("codes"), result["num_nodes"])
    found = result | {IN_ORDER: kept, "inference_bytes": kept + more}
    if not more:
        return found
    full = result["full_bytes"]
    found |= {"compression_ratio": full / (kept + more), RECOUNTED: True}
    auto = result.get("auto")
    if auto:
        tried = [
            one | {"bytes": one["bytes"] + _of_name(one["codes"], result["num_nodes"])}
            for one in auto["tried"]
        ]
        found["auto"] = auto | {"tried": tried}
    return found


def over_budget(result: dict[str, Any], options: dict[str, Any]) -> bool:
    """Whether it keeps more than it was allowed, since its bytes are counted anew.

    Args:
        result: What training gave.
        options: Of its experiment.
    """
    ratio = options.get("compression")
    if ratio is None or not result.get(RECOUNTED):
        return False
    return bool(result["inference_bytes"] > result["full_bytes"] / float(ratio))


def _map_bytes(method: str | None, codes: str | None, num_nodes: int) -> int:
    if method in RIVALS:
        return map_bytes(num_nodes) if RIVALS[method].ordered else 0
    return 0 if method != "kd" or not codes else _of_name(codes, num_nodes)


def _of_name(codes: str, num_nodes: int) -> int:
    """Of the map of a recipe, whatever is said behind it."""
    recipe = codes.partition(" ")[0]
    if not CodeRecipe.is_recipe(recipe):
        return 0
    return map_bytes(num_nodes) if CodeRecipe.parse(recipe).ordered else 0
