"""Factors: as equal as can be, and enough."""

import math

import pytest

from kdgraph.composers.factors import covering_factors


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 100, 2708, 169_343, 10**9])
def test_factors_cover_and_none_can_be_smaller(size, count):
    factors = covering_factors(size, count)
    assert len(factors) == count
    assert math.prod(factors) >= size
    assert max(factors) - min(factors) <= 1
    smallest = sorted(factors, reverse=True)
    smallest[0] -= 1
    assert math.prod(smallest) < size
