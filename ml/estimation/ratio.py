"""Ratios of two estimated totals: shares of area, accuracies, means of zones."""

import math

import numpy as np
from numpy.typing import NDArray

from ml.estimation.sample import Floats, Sample
from ml.estimation.values import Estimate, nothing, of_strata, wilson, within

ENOUGH = 30
NO_SPREAD = 1e-9  # standard errors of shares below it are 0 but for rounding


def ratio(sample: Sample, part: Floats, whole: Floats) -> Estimate:
    """The ratio of the total of `part` to the total of `whole`: Stehman 2014, doi 10.1080/01431161.2014.930207.

    R = Y / X, and its variance is that of the total of (part - R * whole) / X, with the finite
    population correction if the units of the strata are known. The user's accuracy of class k is the ratio of the area
    that is mapped as k and truly k to the area mapped as k; the strata need not be the classes of the map.

    part, whole: Values of the points, shape (points,): each 0 or 1, and part nowhere larger than whole.

    Returns:
        The ratio, with the interval +- 1.96 standard errors (with clusters, Student's t). This is too narrow for what
        is rare. If all points of each stratum count, or none, the interval of a stratified sample is therefore that of
        `ml.estimation.values.of_strata`. In a sample without strata with the equivalent of less than `ENOUGH` points,
        it is Wilson's for the simple random sample that would have this standard error (Korn and Graubard 1998).
    """
    counted = whole > 0
    if sample.why_not:
        return nothing(sample.why_not)
    if not counted.any():
        return nothing("No sample point tells of it.")
    value, se = linearised(sample, part, whole)
    factor = sample.interval_factor()
    if se <= NO_SPREAD:
        return of_strata(_by_stratum(sample, part, counted), 1.0, factor=factor)
    if sample.design == "stratified":
        if _in_whole_strata(sample, counted):
            return of_strata(_by_stratum(sample, part, counted), 1.0, se, factor)
        return within(value, se, 1.0, factor)
    alike = value * (1 - value) / se**2
    if alike * min(value, 1 - value) < ENOUGH:
        return Estimate(value, se, wilson(value, alike, factor))
    return within(value, se, 1.0, factor)


def linearised(sample: Sample, part: Floats, whole: Floats) -> tuple[float, float]:
    """The ratio of the totals of `part` and `whole`, and its standard error; whole has a total above 0."""
    total, of_whole = sample.totals(np.stack([part, whole], axis=1))
    value = total / of_whole
    deviations = (part - value * whole) / of_whole
    return float(value), math.sqrt(sample.covariance(deviations[:, None])[0, 0])


def effective_units(sample: Sample, counted: NDArray[np.bool_]) -> float:
    """The number of drawn units of equal weight that tell as much as those with a point that counts (Kish 1965).

    counted: Which points count, shape (points,); one at least.
    """
    weights = np.bincount(sample.units[0][counted], sample.weights_ha[counted])
    return float(weights.sum() ** 2 / (weights**2).sum())


def _by_stratum(sample: Sample, part: Floats, counted: NDArray[np.bool_]) -> list[tuple[float, float, float]]:
    """Of each stratum with points that count: its part of their weight, their share, and their effective number."""
    weights, whole = sample.weights_ha, sample.weights_ha[counted].sum()
    found = []
    for stratum in np.unique(sample.points.stratum[counted]):
        within_it = counted & (sample.points.stratum == stratum)
        share = float(np.average(part[within_it], weights=weights[within_it]))
        # with a finite population correction, the points have the variance of this larger number without one
        points = effective_units(sample, within_it) / max(float(sample.not_drawn[stratum]), NO_SPREAD)
        found.append((float(weights[within_it].sum() / whole), min(max(share, 0.0), 1.0), points))
    return found


def _in_whole_strata(sample: Sample, counted: NDArray[np.bool_]) -> bool:
    """Whether in each stratum all points count, or none: then the weights of the strata are known, not estimated."""
    points = np.bincount(sample.points.stratum)
    of_them = np.bincount(sample.points.stratum, counted)
    return bool(((of_them == 0) | (of_them == points)).all())
