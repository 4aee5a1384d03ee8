"""Which configured runs have no result: every page names its own."""

from collections.abc import Iterable, Sequence

from benchmarks.harness.experiment import Experiment

HEADING = "## Configured, not run"


def missing(experiments: Iterable[Experiment]) -> list[tuple[Experiment, str]]:
    """Experiments and data sets that were configured and left no record."""
    return [
        (one, dataset)
        for one in experiments
        for dataset in one.datasets
        if one.record(dataset) is None
    ]


def not_run(experiments: Sequence[Experiment]) -> str:
    """The section of a page that names what has no result; empty if all was run.

    A failed run has a record and is shown where results are.
    """
    found = missing(experiments)
    if not found:
        return ""
    by_label: dict[str, list[str]] = {}
    for one, dataset in found:
        by_label.setdefault(one.label, []).append(dataset)
    total = sum(len(one.datasets) for one in experiments)
    lines = [line(label, datasets) for label, datasets in by_label.items()]
    return (
        f"{HEADING}\n\nOf {total} configured runs, {len(found)} have no result yet. "
        "Nothing on this page says anything about them:\n\n" + "\n".join(lines) + "\n"
    )


def line(label: str, datasets: Iterable[str]) -> str:
    """How a page names the data sets that one experiment was not run on.

    Example:
        >>> line("full table", ["cora", "pubmed"])
        '- full table: `cora`, `pubmed`'
    """
    return f"- {label}: " + ", ".join(f"`{name}`" for name in datasets)


def unnamed(
    experiments: Iterable[Experiment], pages: Iterable[str]
) -> list[tuple[Experiment, str]]:
    """Configured runs without a result that no page names.

    Args:
        experiments: What was configured.
        pages: The pages, as Markdown.
    """
    lines = [text for page in pages for text in page.splitlines()]
    return [
        (one, dataset)
        for one, dataset in missing(experiments)
        if not any(
            text.startswith(line(one.label, ())) and f"`{dataset}`" in text
            for text in lines
        )
    ]
