"""``kdgraph train``: train, compare, record."""

import argparse
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from kdgraph.cli import train_options
from kdgraph.cli.interrupt import interrupt_between_epochs
from kdgraph.cli.together import is_first, together
from kdgraph.cli.train_report import describe, exchange, result_table
from kdgraph.data import load_graph
from kdgraph.training import MethodResult, Pick, Runner, TrainConfig, Trainer
from kdgraph.training.checkpoint import write_json
from kdgraph.training.peak_memory import reset_peak_rss


def add_parser(commands: Any) -> None:
    """Declare the command."""
    train_options.declare(commands).set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Train every method asked for, and print the table."""
    if arguments.seeds < 1:
        raise ValueError(f"--seeds is at least 1, got {arguments.seeds}")
    if arguments.json is not None:
        _check_output(arguments.json)
    with together(_device(arguments.device)) as device:
        _run(arguments, device)


def _run(arguments: argparse.Namespace, device: torch.device) -> None:
    if not is_first():
        arguments.quiet = True
    runners = _runners(arguments, device)
    if not arguments.quiet:
        # Not held back until the end where the output is a pipe.
        print(describe(runners[0].graph, runners[0].config), flush=True)
        if len(runners) > 1 and not reset_peak_rss():
            print("note: peak memory counts from the start, for all methods together")
    # Without a folder there is nothing to keep, and no signal need wait.
    keeping = arguments.save is not None
    with interrupt_between_epochs() if keeping else nullcontext() as between:
        results = [_train(arguments, runner, between) for runner in runners]
    if not is_first():
        return
    if arguments.json is not None:
        first, *others = (result.as_dict() for result in results)
        compare = {other["method"]: other for other in others}
        write_json(arguments.json, first | {"compare": compare})
    print(result_table(results))
    if runners[0].ranks.size > 1:
        print(exchange(results))


def _runners(arguments: argparse.Namespace, device: torch.device) -> list[Runner]:
    """One per method; what does not fit is found here, before anything is trained."""
    names = TrainConfig.__dataclass_fields__
    given = {key: value for key, value in vars(arguments).items() if key in names}
    config = TrainConfig(**given)
    graph = load_graph(
        arguments.dataset,
        arguments.root,
        directed=arguments.directed,
        unweighted=arguments.unweighted,
    )
    runners = []
    for name in dict.fromkeys([config.method, *arguments.compare]):
        save: Path | None = arguments.save
        if name != config.method:
            save = save and save / f"compare-{name}"
        rival = config.replace(method=name, guidance="none", entropy_weight=0.0)
        runners.append(
            Runner(
                graph,
                config if name == config.method else rival,
                save=save,
                device=device,
                checkpoint_seconds=arguments.checkpoint_seconds,
            )
        )
    return runners


def _train(
    arguments: argparse.Namespace, runner: Runner, between: Callable[[], None] | None
) -> MethodResult:
    config, seeds = runner.config, arguments.seeds
    epochs = config.epochs or 0
    stages = 2 if config.guidance in ("pretrained", "diffusion") else 1
    # tqdm shows nothing by itself where the output is no terminal.
    hidden = True if arguments.quiet or config.method == "labelprop" else None
    with tqdm(
        total=seeds * stages * epochs,
        desc=config.method,
        unit="epoch",
        file=sys.stderr,
        disable=hidden,
        leave=False,
    ) as bar:

        def on_epoch(seed: int, stage: str, trainer: Trainer) -> None:
            earlier = seed * stages + (stages == 2 and stage == "student")
            # Early stopping and finished seeds leave gaps, which the next epoch fills.
            bar.update(earlier * epochs + trainer.progress.epoch - bar.n)
            bar.set_postfix(
                seed=seed,
                loss=f"{trainer.progress.losses[-1]:.3f}",
                valid=f"{100 * trainer.progress.best_valid:.1f}",
            )
            if between is not None:
                between()

        def on_step(seed: int, _stage: str, trainer: Trainer) -> None:
            now = trainer.progress
            bar.set_postfix(
                seed=seed,
                step=f"{now.step}/{trainer.batching.steps}",
                # A union of clusters may have no training node.
                loss=f"{now.loss / (now.share or 1.0):.3f}",
                refresh=False,
            )
            if between is not None:
                between()

        def on_coding(seed: int, done: float, stage: str) -> None:
            bar.set_postfix(seed=seed, codes=f"{stage} {100 * done:.0f} %")
            if between is not None:
                between()

        def on_pick(pick: Pick) -> None:
            if not arguments.quiet:
                bar.write(pick.text, file=sys.stdout)

        return runner.run(
            seeds,
            on_epoch,
            on_coding=on_coding,
            on_step=on_step,
            on_pick=on_pick,
        )


def _check_output(path: Path) -> None:
    """Refuse a place that cannot be written now, and not after training."""
    if path.is_dir():
        raise ValueError(f"--json: {path} is a folder; name a file in it")
    if not path.parent.is_dir():
        raise ValueError(
            f"--json: the folder {path.parent} does not exist; create it first"
        )
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ValueError(f"--json: {path} may not be written; choose another place")


def _device(name: str) -> torch.device:
    """The device, if torch can compute there."""
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"--device: torch cannot compute on {name!r} here; use --device cpu"
        ) from error
    return device
