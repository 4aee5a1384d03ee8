"""The task as the runner sees it: check options, and train."""

from pathlib import Path
from typing import Any

import torch

from benchmarks.text_classification.corpus import DATASETS, load_corpus
from benchmarks.text_classification.encoders import make_encoder
from benchmarks.text_classification.options import TextConfig
from benchmarks.text_classification.train import Parts, Trained, train_seed
from kdgraph.training.peak_memory import peak_rss_bytes, reset_peak_rss
from kdgraph.training.result import summary

METRIC = "accuracy"


def validate(options: dict[str, Any], dataset: str) -> None:
    """Check an experiment, without data and without training.

    Raises:
        ValueError: An unknown data set or option, or sizes that do not fit together.
    """
    if dataset not in DATASETS:
        raise ValueError(f"text classification knows {DATASETS}, got {dataset!r}")
    config = TextConfig.from_options(options)
    if config.method == "kd":
        # Sizes are checked where they are used; a learned coder reads no sentences.
        options = config.as_dict() | {"source": "none"}
        with torch.device("meta"):
            make_encoder(TextConfig(**options), None, 10, None, 0)


def run(
    options: dict[str, Any], dataset: str, seeds: int, root: Path | None
) -> dict[str, Any]:
    """Train every seed, one after the other.

    Args:
        options: As :func:`validate` takes them.
        dataset: Its name.
        seeds: How many; they are 0, 1, ...
        root: Folder of data sets; see :func:`load_corpus`.

    Returns:
        Scores, bytes and curves, for JSON.
    """
    validate(options, dataset)
    config = TextConfig.from_options(options)
    parts = Parts(load_corpus(dataset, root))
    reset_peak_rss()
    found = [train_seed(config, parts, seed) for seed in range(seeds)]
    num_words, first = len(parts.vocabulary), found[0]
    full = 4 * num_words * config.dim
    stored = first.model.encoder.inference_bytes()
    return {
        "metric": METRIC,
        "test_score": summary([one.test_score for one in found]),
        "valid_score": summary([one.valid_score for one in found]),
        "inference_bytes": stored,
        "full_bytes": full,
        "compression_ratio": full / stored,
        "training_bytes": first.training_bytes,
        "full_training_bytes": 4 * full,
        "peak_rss_bytes": peak_rss_bytes(),
        "seconds_per_epoch": _seconds(found),
        "curves": [
            {"valid": one.valid_scores, "loss": one.losses, "best": one.best_epoch}
            for one in found
        ],
        "config": config.as_dict(),
        "vocabulary": num_words,
        "sentences": {
            "train": len(parts.train),
            "valid": len(parts.valid),
            "test": len(parts.test),
        },
    }


def _seconds(found: list[Trained]) -> float:
    epochs = sum(len(one.losses) for one in found)
    return sum(one.seconds for one in found) / epochs
