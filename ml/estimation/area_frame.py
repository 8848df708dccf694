"""Totals from a stratified area frame, such as hectares of a crop from segments that were surveyed on the ground."""

import math

from ml.estimation.sample import Floats, Integers
from ml.estimation.values import Estimate, nothing, within


def frame_total(units: Floats, drawn: Integers, means: Floats, variances: Floats) -> Estimate:
    """The total of a quantity over all segments of an area frame, with the finite population correction.

    Y = sum of N * mean, V(Y) = sum of N^2 * (1 - n / N) * s^2 / n over the strata (Cochran 1977, chapter 5; the
    direct expansion of agricultural surveys). The interval is Y +- 1.96 standard errors, not below 0.

    units: Number N of segments of each stratum, shape (strata,). drawn: Number n of segments that were surveyed. means,
    variances: Mean and variance s^2 (with n - 1) of the quantity over these segments.

    Returns:
        The estimate, or none if a stratum has fewer than two surveyed segments.
    """
    if (drawn < 2).any():
        return nothing("A stratum has fewer than two surveyed segments, which show no variance.")
    value = float(units @ means)
    se = math.sqrt(float((units**2 * (1 - drawn / units) * variances / drawn).sum()))
    return within(value, se, math.inf)
