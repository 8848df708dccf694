"""The 97.5 % quantile of Student's t."""

import math
from functools import lru_cache

NORMAL = 1.96  # the same quantile of the normal distribution, as published intervals round it
_AS_NORMAL = 1000  # degrees of freedom from which on t differs from the normal by less than 0.2 %


@lru_cache(maxsize=_AS_NORMAL)
def t_quantile(degrees: int) -> float:
    """The number of standard errors by which a 95 % interval with `degrees` of freedom extends to each side.

    The probability within +-t is a finite series in the angle arctan(t / sqrt(degrees)) (Abramowitz and Stegun 1964,
    26.7.3 and 26.7.4), which is bisected.

    Raises:
        ValueError: There is no degree of freedom.
    """
    if degrees < 1:
        raise ValueError("a 95 % interval needs one degree of freedom")
    if degrees >= _AS_NORMAL:
        return NORMAL
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, degrees) < 0.95 else (low, middle)
    return math.sqrt(degrees) * math.tan(low)


def t_between(degrees: float) -> float:
    """The quantile for degrees of freedom that are no whole number, between those of its neighbours; from 1 on."""
    whole = max(1, math.floor(degrees))
    low, high = t_quantile(whole), t_quantile(whole + 1)
    return low + (high - low) * min(max(degrees - whole, 0.0), 1.0)


def _within(angle: float, degrees: int) -> float:
    """The probability that |t| is at most sqrt(degrees) * tan(angle)."""
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = degrees % 2 == 1
    term, series = (cosine, 0.0) if odd else (1.0, 0.0)
    for step in range(3 if odd else 2, degrees + 1, 2):
        series += term
        term *= cosine**2 * (step - 1) / step
    return 2 / math.pi * (angle + sine * series) if odd else sine * series
