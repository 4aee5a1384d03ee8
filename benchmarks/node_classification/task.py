"""Train a method on a graph: the options are those of ``kdgraph train``."""

import contextlib
import io
from pathlib import Path
from typing import Any

from benchmarks.node_classification.convert import CONVERSIONS
from kdgraph.cli.main import build_parser
from kdgraph.cli.train_options import DATASETS
from kdgraph.codes import CodeRecipe
from kdgraph.data import load_graph
from kdgraph.data._download import default_root
from kdgraph.training import Runner, TrainConfig

CONVERTED = tuple(CONVERSIONS)
"""Graphs without a name on the command line: ``NAME.npz`` beside the data sets."""


def validate(options: dict[str, Any], dataset: str) -> None:
    """Refuse options that ``kdgraph train`` does not take, or a graph without a name.

    Raises:
        ValueError: What is wrong, in a sentence.
    """
    names = [name.strip() for name in DATASETS.split(",")]
    if dataset not in (*names, *CONVERTED):
        raise ValueError(
            f"unknown data set {dataset!r}: expected one of {', '.join(names)}"
        )
    config = config_of(options, dataset)
    if config.codes is not None and CodeRecipe.is_recipe(config.codes):
        CodeRecipe.parse(config.codes)


def run(
    options: dict[str, Any], dataset: str, seeds: int, root: Path | None
) -> dict[str, Any]:
    """Train all seeds, and say what came out, with the curve of each."""
    graph = load_graph(_named(dataset, root), root and str(root))
    result = Runner(graph, config_of(options, dataset)).run(seeds)
    curves = [
        {
            "seed": seed.seed,
            "best_epoch": seed.best_epoch,
            "losses": seed.losses,
            "valid_scores": seed.valid_scores,
        }
        for seed in result.seeds
    ]
    return result.as_dict() | {"curves": curves}


def _named(dataset: str, root: Path | None) -> str:
    """What ``kdgraph train`` calls a graph.

    Raises:
        FileNotFoundError: One that has to be converted and was not.
    """
    if dataset not in CONVERTED:
        return dataset
    path = (root or default_root(None)) / f"{dataset}.npz"
    if not path.exists():
        raise FileNotFoundError(
            f"{path} does not exist; python -m benchmarks.node_classification.convert "
            f"{dataset} --root {path.parent} makes it"
        )
    return str(path)


def config_of(options: dict[str, Any], dataset: str) -> TrainConfig:
    """The configuration that ``kdgraph train`` makes of these options.

    Raises:
        ValueError: Options that it refuses.
    """
    arguments = ["train", "--dataset", dataset]
    for option, value in options.items():
        # A switch takes no value.
        arguments += [f"--{option}"] if value is True else [f"--{option}", str(value)]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parsed = vars(build_parser().parse_args(arguments))
    except SystemExit as error:
        sentence = said.getvalue().partition("error: ")[2].partition(";")[0]
        raise ValueError(sentence or f"kdgraph train refuses {options}") from error
    fields = TrainConfig.__dataclass_fields__
    return TrainConfig(**{key: value for key, value in parsed.items() if key in fields})
