"""Random shapes, alphabets and forms of codes, against float64."""

import random

import pytest
import torch

from kdgraph.ops import coded_gather, coded_spmm
from tests.ops.problems import Case, check_sum, dense, make_problem, matrix

ALPHABETS = (
    (1,),
    (2,),
    (3,),
    (4,),
    (16,),
    (200,),
    (256,),
    (2, 16, 3),
    (256, 16),
    (999,),
)


def random_case(rng: random.Random) -> Case:
    positions = rng.choice([1, 2, 3, 5, 8, 16, 17, 33])
    alphabet = rng.choice(ALPHABETS)
    sizes = tuple(rng.choice(alphabet) for _ in range(positions))
    forms = ["int16", "int32", "int64", "packed"] + ["uint8"] * (max(sizes) <= 256)
    return Case(
        sizes,
        width=rng.choice([1, 2, 3, 4, 7, 8, 12, 16, 24, 33, 64, 130]),
        form=rng.choice(forms),
        compose=rng.choice(["concat", "sum"]),
        shared=positions > 1 and rng.random() < 0.25,
        reduce=rng.choice(["sum", "mean"]),
        weighted=rng.random() < 0.6,
        index=rng.choice([torch.int32, torch.int64]),
    )


@pytest.mark.usefixtures("backend_name")
@pytest.mark.parametrize("seed", range(40))
def test_random_cases(seed):
    case = random_case(random.Random(seed))
    problem = make_problem(case, seed)
    vectors = dense(problem, case.compose)
    bound = dense(problem, case.compose, absolute=True)
    adjacency = matrix(problem, case.reduce, vectors.size(0))
    sums = coded_spmm(
        problem.rowptr,
        problem.col,
        problem.weight,
        problem.codes,
        problem.books,
        case.reduce,
        compose=case.compose,
    )
    check_sum(sums, adjacency, vectors, bound)
    found = coded_gather(problem.codes, problem.books, compose=case.compose)
    each = torch.eye(vectors.size(0), dtype=torch.float64)
    check_sum(found, (each, each), vectors, bound)
