"""Percentiles of measured times."""

import math
from collections.abc import Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """The percentile by nearest rank: the smallest value that is at least as large as a share `share` of all values."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


def p99(values: Sequence[float]) -> float:
    """The 99th percentile; of fewer than a hundred values the largest."""
    return percentile(values, 0.99)
