"""What a seed reads off the graph, once."""

import time
from functools import partial

from kdgraph.codes import Order
from kdgraph.codes.spectral import shared_vectors
from kdgraph.training.job import Job
from kdgraph.training.methods import code_recipe, needs_map, stored_boundaries
from kdgraph.training.reading import Reading
from kdgraph.training.rivals import RIVALS, Read


def read_graph(job: Job, seed: int) -> tuple[Reading, float]:
    """What the method reads off the graph with this seed, and the seconds it took.

    Raises:
        ValueError: A graph that does not have such codes.
    """
    rival = RIVALS.get(job.config.method)
    if rival is not None and rival.read is not None:
        return _read_by_rival(job, rival.read, seed)
    order = read_codes(job, seed)
    if order is None:
        return Reading(), 0.0
    seconds = job.read.seconds[str(code_recipe(job.config)), seed]
    return Reading(order.codes, order.rows), seconds


def _read_by_rival(job: Job, read: Read, seed: int) -> tuple[Reading, float]:
    if not needs_map(job.config, job.graph) and RIVALS[job.config.method].ordered:
        return Reading(stored_in_order=True), 0.0
    begun = time.perf_counter()
    progress = None if job.on_coding is None else partial(job.on_coding, seed)
    reading = job.ranks.once(lambda: read(job.config, job.graph.adj, seed, progress))
    return reading, time.perf_counter() - begun


def read_codes(job: Job, seed: int) -> Order | None:
    """The codes of a seed, if the configuration reads them off the graph.

    Raises:
        ValueError: A graph that does not have such codes.
    """
    recipe, read = code_recipe(job.config), job.read
    if recipe is None:
        return None
    key = str(recipe), seed
    file = None if job.run_dir is None else job.run_dir.code_file(*key)
    kept = None
    if key not in read.codes:
        kept = job.ranks.told(None if file is None else file.load())
    if kept is not None:
        read.keep(*key, *kept)
    if key not in read.codes:
        begun = time.perf_counter()
        progress = None
        if job.on_coding is not None:
            progress = partial(job.on_coding, seed)
        if "spectral" in str(recipe) and not read.looked:
            read.looked = True
            read.vectors = job.ranks.once(
                lambda: shared_vectors(job.graph.adj, job.config.memory)
            )
            read.vector_seconds = time.perf_counter() - begun
            begun += read.vector_seconds
        order = job.ranks.once(
            lambda: recipe.build(
                job.graph.adj,
                seed=seed,
                memory=job.config.memory,
                vectors=read.vectors,
                boundaries=stored_boundaries(recipe, job.graph),
                progress=progress,
            )
        )
        shared = read.vector_seconds if "spectral" in str(recipe) else 0.0
        read.keep(*key, order, time.perf_counter() - begun + shared)
    if file is not None and kept is None:
        file.save(read.codes[key], read.seconds[key])
    return read.codes[key]
