"""Pages, tables and figures of all benchmarks, and whether they are up to date."""

import importlib
import importlib.util
from pathlib import Path
from typing import Protocol, cast

from benchmarks.harness.coverage import unnamed
from benchmarks.harness.experiment import BENCHMARKS, CONFIGS, load_experiments

PAGES = (
    "node_classification.quick_page",
    "node_classification.rivals_page",
    "node_classification.backbones_page",
    "node_classification.codes_page",
    "link_prediction.page",
    "code_meaning.page",
    "text_classification.page",
    "memory.page",
    "steps.page",
)
"""Modules that make pages, by their place under ``benchmarks``."""
ROOT = BENCHMARKS.parent


class Page(Protocol):
    """What a benchmark gives to the report."""

    def texts(self) -> dict[Path, str]:
        """What each generated file is to hold."""

    def figures(self) -> dict[Path, str]:
        """The digest that each figure is to carry."""

    def draw(self, path: Path) -> None:
        """Draw a figure, with its digest."""


def write() -> list[Path]:
    """Write all files that results say something of, and return them.

    Figures need matplotlib; without it those that are there stay as they are.
    """
    written: list[Path] = []
    drawing = importlib.util.find_spec("matplotlib") is not None
    for page in _pages():
        # Figures first: a page shows those that are there.
        for path in page.figures() if drawing else ():
            path.parent.mkdir(parents=True, exist_ok=True)
            page.draw(path)
            written.append(path)
        for path, text in page.texts().items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            written.append(path)
    if not drawing:
        print(
            "matplotlib is not installed, so no figure was drawn; "
            "pip install '.[bench]' brings it"
        )
    return [path.relative_to(ROOT) for path in written]


def stale() -> list[Path]:
    """Files that do not show what the results say."""
    found: list[Path] = []
    for page in _pages():
        found += [
            path
            for path, text in page.texts().items()
            if not path.exists() or path.read_text() != text
        ]
        found += [
            path
            for path, digest in page.figures().items()
            if not path.exists() or digest not in path.read_text()
        ]
    return [path.relative_to(ROOT) for path in found]


def unaccounted() -> list[str]:
    """Configured runs that have no result and that no page names."""
    texts = [text for page in _pages() for text in page.texts().values()]
    suites = sorted(BENCHMARKS.glob(f"*/{CONFIGS}"))
    return [
        f"{one.path.relative_to(ROOT)} on {dataset}"
        for one, dataset in unnamed(load_experiments(*suites), texts)
    ]


def _pages() -> list[Page]:
    return [
        cast("Page", importlib.import_module(f"benchmarks.{name}")) for name in PAGES
    ]
