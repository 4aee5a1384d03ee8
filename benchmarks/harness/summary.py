"""What seeds say together: mean, deviation, and how sure the mean is."""

import math
from collections.abc import Sequence
from typing import Any

from scipy import stats


def interval(scores: Sequence[float], level: float = 0.95) -> float | None:
    r"""Half the width of the confidence interval of a mean.

    :math:`t_{n-1} s / \sqrt{n}` with Student's t and the sample deviation s; ``None``
    where there is one score, which says nothing of it.

    Args:
        scores: Of n seeds.
        level: Of confidence. (default: ``0.95``)

    Example:
        >>> round(interval([0.70, 0.72, 0.74]), 4)
        0.0497
    """
    n = len(scores)
    if n < 2:
        return None
    mean = sum(scores) / n
    deviation = math.sqrt(sum((score - mean) ** 2 for score in scores) / (n - 1))
    quantile = float(stats.t.ppf((1 + level) / 2, n - 1))
    return quantile * deviation / math.sqrt(n)


def percent(score: dict[str, Any] | None) -> str:
    """Mean and deviation in per cent; the mean alone for one seed."""
    if score is None:
        return "-"
    mean = f"{100 * score['mean']:.1f}"
    return f"{mean} ± {100 * score['std']:.1f}" if len(score["seeds"]) > 1 else mean


def in_order(result: dict[str, Any]) -> str:
    """Bytes, and how many times smaller, of a graph stored in the order that is needed.

    A dash where no order implies anything.
    """
    kept = result.get("inference_bytes_in_order", result["inference_bytes"])
    if kept == result["inference_bytes"]:
        return "-"
    return f"{kept:,} ({result['full_bytes'] / kept:.1f}x)"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: the first column to the left, the others to the right."""
    lines = ["| " + " | ".join(header) + " |"]
    lines.append("|---" + "|---:" * (len(header) - 1) + "|")
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)
