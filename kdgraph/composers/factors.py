"""Factors of a number that is written in digits of several positions."""

import math


def covering_factors(size: int, count: int) -> tuple[int, ...]:
    """So many factors, as equal as can be, whose product is at least ``size``.

    Example:
        >>> covering_factors(169_343, 3), covering_factors(9, 3), covering_factors(9, 2)
        ((55, 55, 56), (2, 2, 3), (3, 3))
    """
    root = max(1, round(size ** (1 / count)))
    while root**count < size:
        root += 1
    factors = [root] * count
    for place in range(count):
        smaller = [*factors]
        smaller[place] -= 1
        if math.prod(smaller) >= size:
            factors = smaller
    return tuple(factors)
