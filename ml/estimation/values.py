"""What an estimator returns: a value with its standard error and its interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from ml.estimation.student import NORMAL

Interval = tuple[float, float]


@dataclass(frozen=True)
class Estimate:
    """An estimated area, share or accuracy.

    value, se, ci95: The value, its standard error and its 95 % interval, in the unit of the value. All are None if
    nothing can be estimated. se and ci95 alone are None if the value's error is not known. why: The reason, then.
    """

    value: float | None
    se: float | None = None
    ci95: Interval | None = None
    why: str | None = None

    @property
    def cv(self) -> float | None:
        """The coefficient of variation, se / value; None if one is unknown or the value is 0."""
        return self.se / self.value if self.se is not None and self.value else None

    def scaled(self, factor: float) -> Self:
        """The estimate times `factor`, which is not negative."""
        value, se = (None if number is None else factor * number for number in (self.value, self.se))
        ci95 = None if self.ci95 is None else (factor * self.ci95[0], factor * self.ci95[1])
        return type(self)(value, se, ci95, self.why)


def nothing(why: str) -> Estimate:
    """The estimate of what cannot be estimated."""
    return Estimate(None, why=why)


def within(value: float, se: float, most: float, factor: float = NORMAL) -> Estimate:
    """The estimate with the interval value +- factor * se, cut off at 0 and at `most`, the whole."""
    return Estimate(value, se, (max(0.0, value - factor * se), min(most, value + factor * se)))


def wilson(share: float, points: float, factor: float = NORMAL) -> Interval:
    """The 95 % interval of a share of `points` independent points (Wilson 1927, doi 10.1080/01621459.1927.10502953).

    Its width is never 0. points: Of a sample that is not simple random, the effective number.
    """
    spread = factor**2 / points
    middle = (share + spread / 2) / (1 + spread)
    half = factor * math.sqrt(share * (1 - share) / points + spread / (4 * points)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def of_strata(
    parts: Sequence[tuple[float, float, float]], whole: float, se: float = 0.0, factor: float = NORMAL
) -> Estimate:
    """The estimate from the shares of strata, with an interval that knows what few points may have missed.

    The interval takes the Wilson interval of each stratum, and the square root of the sum of their squared distances
    from the estimate (MOVER: Zou and Donner 2008, doi 10.1002/sim.3095). With many points it is the estimate
    +- 1.96 standard errors. Where no point of a stratum is of the class, or all are, the standard error takes its
    ground as known; the interval does not.

    parts: Area, share and number of points of each stratum. whole: Area of all. se: The standard error; 0 if no point
    differs from the others of its stratum. factor: Standard errors to each side of a 95 % interval.
    """
    value = sum(area * share for area, share, _ in parts)
    missed = [(area, share, wilson(share, points, factor)) for area, share, points in parts if area > 0]
    below = math.hypot(*(area * (share - low) for area, share, (low, _) in missed))
    above = math.hypot(*(area * (high - share) for area, share, (_, high) in missed))
    return Estimate(value, se, (max(0.0, value - below), min(whole, value + above)))
