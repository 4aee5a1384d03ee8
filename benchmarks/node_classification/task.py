"""Train a method on a graph: the options are those of ``kdgraph train``."""

import contextlib
import io
from pathlib import Path
from typing import Any

from kdgraph.cli.main import build_parser
from kdgraph.cli.train_options import DATASETS
from kdgraph.codes import CodeRecipe
from kdgraph.data import load_graph
from kdgraph.training import Runner, TrainConfig

READY = ("ogbn-proteins", "ogbn-mag")
"""Graphs without a name on the command line: the folder where they are prepared."""


def validate(options: dict[str, Any], dataset: str) -> None:
    """Refuse options that ``kdgraph train`` does not take, or a graph without a name.

    Raises:
        ValueError: What is wrong, in a sentence.
    """
    names = [name.strip() for name in DATASETS.split(",")]
    if dataset not in (*names, *READY):
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
    graph = load_graph(dataset, root and str(root))
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
