"""The regression estimator, which takes from a sample what the map has wrong, and all else from the map."""

import math

import numpy as np
from numpy.typing import NDArray

from ml.estimation.jackknife import left_out, spread_of
from ml.estimation.ratio import NO_SPREAD, effective_units, linearised
from ml.estimation.sample import Floats, Sample
from ml.estimation.student import t_between
from ml.estimation.values import Estimate, Interval, nothing, wilson


def regression(
    sample: Sample,
    truly: Floats,
    auxiliary: Floats,
    auxiliary_ha: float,
    area_ha: float,
    members: NDArray[np.bool_] | None = None,
) -> Estimate:
    """The hectares of a class, by the map as an auxiliary variable that is known for all ground.

    Y = slope * X + area * mean(y - slope * x), where X is the known total of the auxiliary x, and the mean over the
    sample is a ratio of totals. With slope 1 it is the difference estimator (Särndal, Swensson and Wretman 1992,
    chapter 6). The slope here is cov(Y, X) / var(X), which makes the variance least (Montanari 1987). It is what
    prediction-powered inference calls its power tuning (PPI++: Angelopoulos, Duchi and Zrnic 2023, arXiv 2311.01453),
    for a mean and a map that covers all ground. A useless map has slope 0, which leaves the estimate of the sample
    alone.

    truly: 1 where a point is truly of the class, else 0, shape (points,). auxiliary: The map at each point, shape
    (points,): its probability of the class, or 1 where it has the class. auxiliary_ha: Total of the auxiliary over the
    ground, in hectares. area_ha: Hectares of that ground. members: Which points lie on it, shape (points,), if it is a
    zone. The slope is that of the whole sample then.

    The standard error is that of the jackknife, since the slope comes from the same points: residuals alone are too
    small where few units differ from the map. In a zone it is at least what it would be if the points of the zone
    varied as those of their strata do, since few points may be alike by chance.

    Returns:
        The estimate, within 0 and `area_ha`. The interval is Student's, with the degrees of freedom that `spread_of`
        finds: few points that differ from the map tell its variance badly, however many agree with it. If map and
        truth agree at all points, the interval comes from the largest share of errors that their number could have
        missed (Wilson).
    """
    here = np.ones(len(truly), dtype=bool) if members is None else members
    if sample.why_not:
        return nothing(sample.why_not)
    if not here.any() or area_ha <= 0:
        return nothing("No sample point lies in it.")
    steepness = slope(sample, truly, auxiliary)
    residuals = truly - steepness * auxiliary
    mean, se = linearised(sample, np.where(here, residuals, 0.0), here.astype(np.float64))
    value = min(max(0.0, steepness * auxiliary_ha + area_ha * mean), area_ha)
    factor = sample.interval_factor(members)
    if effective_units(sample, here) > 1:
        known = spread_of(sample, left_out(sample, truly, auxiliary, here, auxiliary_ha / area_ha))
        se = math.sqrt(known.variance)
        if members is None and se > NO_SPREAD:
            factor = max(factor, t_between(known.degrees))
    if members is not None:
        se = max(se, typical_se(sample, residuals, here))
    missed = factor * se if se > NO_SPREAD else wilson(0.0, effective_units(sample, here), factor)[1]
    return Estimate(value, area_ha * se, _within(value, area_ha * missed, area_ha))


def typical_se(sample: Sample, residuals: Floats, members: NDArray[np.bool_]) -> float:
    """The standard error of the mean residual in a zone, if its points vary as all of their strata do."""
    weights = sample.weights_ha[members]
    variances = sample.variances(residuals)[sample.points.stratum[members]]
    return float(np.sqrt((weights**2 * variances).sum()) / weights.sum())


def slope(sample: Sample, truly: Floats, auxiliary: Floats) -> float:
    """The slope of `regression`; 0 if the auxiliary does not vary within the strata."""
    (_, shared), (_, spread) = sample.covariance(np.stack([truly, auxiliary], axis=1))
    return float(shared / spread) if spread > (NO_SPREAD * sample.strata.whole_ha) ** 2 else 0.0


def _within(value: float, half: float, most: float) -> Interval:
    return max(0.0, value - half), min(most, value + half)
