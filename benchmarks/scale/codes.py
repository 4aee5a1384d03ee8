"""Codes of the prepared graph, and the file they lie in."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.clock import Clock
from benchmarks.scale.setting import Setting
from kdgraph.code_stats import code_stats
from kdgraph.codes import CodeTable, random_codes
from kdgraph.codes.recipe import CodeRecipe
from kdgraph.data.disk import load_disk

FILE = "codes.npy"


def codes(setting: Setting, folder: Path, clock: Clock) -> dict[str, Any]:
    """Read spectral codes off the graph, within a bound of memory, and pack them."""
    recipe = CodeRecipe.parse(_recipe(setting))
    begun = time.perf_counter()
    adj = load_disk(folder / "graph").adj
    table = recipe.build(
        adj, seed=setting.seed, memory=setting.memory, progress=clock
    ).codes
    np.save(folder / FILE, table.packed.numpy())
    seconds = time.perf_counter() - begun
    stats = code_stats(table)
    return {
        "recipe": str(recipe),
        "seconds": seconds,
        "stages": clock.seconds,
        "code_bytes": table.nbytes,
        "perplexity": stats.perplexity,
        "unique_ratio": stats.unique_ratio,
    }


def read_codes(setting: Setting, folder: Path) -> tuple[CodeTable, str]:
    """The codes that were made, or else random ones, and which they are."""
    sizes = (setting.codebook_size,) * setting.num_codebooks
    if setting.codes != "random" and (folder / FILE).exists():
        packed = np.load(folder / FILE, mmap_mode="c")
        return CodeTable(torch.from_numpy(packed), sizes), _recipe(setting)
    generator = torch.Generator().manual_seed(setting.seed)
    table = random_codes(setting.num_nodes, len(sizes), sizes, generator=generator)
    return table, "random"


def _recipe(setting: Setting) -> str:
    return f"spectral:{setting.num_codebooks}x{setting.codebook_size}"
