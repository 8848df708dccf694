"""The change of an area between two seasons."""

import math

import numpy as np

from ml.estimation.ratio import ratio
from ml.estimation.sample import Floats, Sample
from ml.estimation.values import Estimate, nothing


def change_of_areas(before: Estimate, after: Estimate) -> Estimate:
    """The change between two independent estimates of an area: two samples without a common point.

    V = V(before) + V(after). The interval puts the two intervals together (Zou and Donner 2008, doi 10.1002/sim.3095),
    which is +- 1.96 standard errors where theirs are that.
    """
    if before.value is None or after.value is None or before.ci95 is None or after.ci95 is None:
        return nothing(before.why or after.why or "The area of one season has no interval.")
    value = after.value - before.value
    below = math.hypot(after.value - after.ci95[0], before.ci95[1] - before.value)
    above = math.hypot(after.ci95[1] - after.value, before.value - before.ci95[0])
    return Estimate(value, math.hypot(before.se or 0.0, after.se or 0.0), (value - below, value + above))


def change_at_points(sample: Sample, before: Floats, after: Floats) -> Estimate:
    """The change of the hectares of a class, if the same points have an answer for both seasons.

    The total of after - before has the variance of the design, which is V(before) + V(after) - 2 Cov(before, after):
    far less than that of independent samples where little ground changes (Cochran 1977, chapter 12). The interval
    is +- 1.96 standard errors, or with clusters those of Student's t. Where no point gained or none lost, it reaches as
    far as what so many points may have missed.

    before, after: 1 where a point is truly of the class in that season, else 0, shape (points,).
    """
    if sample.why_not:
        return nothing(sample.why_not)
    whole, ones = sample.strata.whole_ha, np.ones(len(before))
    gain, loss = (ratio(sample, np.maximum(0.0, part), ones).scaled(whole) for part in (after - before, before - after))
    value = float(sample.totals((after - before)[:, None])[0])
    se = math.sqrt(sample.covariance((after - before)[:, None])[0, 0])
    half = sample.interval_factor() * se
    missed_gain, missed_loss = (one.ci95[1] if one.ci95 and not one.value else 0.0 for one in (gain, loss))
    return Estimate(
        value, se, (max(-whole, value - max(half, missed_loss)), min(whole, value + max(half, missed_gain)))
    )
