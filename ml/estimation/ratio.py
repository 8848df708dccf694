"""Ratios of two estimated totals: shares of area, accuracies, means of zones."""

import math

import numpy as np
from numpy.typing import NDArray

from ml.estimation.sample import Floats, Sample
from ml.estimation.values import Estimate, nothing, unanimous, wilson, within

ENOUGH = 30
NO_SPREAD = 1e-9  # standard errors of shares below it are 0 but for rounding


def ratio(sample: Sample, part: Floats, whole: Floats) -> Estimate:
    """The ratio of the total of `part` to the total of `whole`: Stehman 2014, doi 10.1080/01431161.2014.930207.

    R = Y / X, and its variance is that of the total of (part - R * whole) / X, with the finite
    population correction if the units of the strata are known. The user's accuracy of class k is the ratio of the area
    that is mapped as k and truly k to the area mapped as k; the strata need not be the classes of the map.

    part, whole: Values of the points, shape (points,): each 0 or 1, and part nowhere larger than whole.

    Returns:
        The ratio, with the interval +- 1.96 standard errors (with clusters, Student's t). In a sample without strata
        this is too narrow for what is rare: with the equivalent of less than `ENOUGH` points, the interval is Wilson's
        for the simple random sample that would have this standard error (Korn and Graubard 1998). Where the points that
        count all agree within each stratum, the standard error is 0, and the interval that of
        `ml.estimation.values.unanimous`.
    """
    counted = whole > 0
    if sample.why_not:
        return nothing(sample.why_not)
    if not counted.any():
        return nothing("No sample point tells of it.")
    value, se = linearised(sample, part, whole)
    factor = sample.interval_factor()
    if se > NO_SPREAD:
        alike = value * (1 - value) / se**2
        if sample.design != "stratified" and alike * min(value, 1 - value) < ENOUGH:
            return Estimate(value, se, wilson(value, alike, factor))
        return within(value, se, 1.0, factor)
    return unanimous(_by_stratum(sample, part, counted), 1.0, factor)


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
        found.append((float(weights[within_it].sum() / whole), float(round(share)), effective_units(sample, within_it)))
    return found
