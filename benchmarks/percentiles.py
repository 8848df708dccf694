"""Percentiles of measured times."""

import math
from collections.abc import Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """By nearest rank: the smallest value that is at least as large as `share` of them all."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


def p99(values: Sequence[float]) -> float:
    """The 99th percentile: of fewer than a hundred the largest."""
    return percentile(values, 0.99)
