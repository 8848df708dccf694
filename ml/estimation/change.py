"""The change of an area between two seasons."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.estimation.ratio import linearised, ratio
from ml.estimation.regression import regression, typical_se
from ml.estimation.sample import Floats, Sample
from ml.estimation.values import Estimate, nothing


@dataclass(frozen=True)
class PointChange:
    """The change of a class, in hectares.

    gain, loss: Ground that became of the class, or is of it no longer. net: Gain less loss.
    """

    gain: Estimate
    loss: Estimate
    net: Estimate


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


def change_at_points(sample: Sample, before: Floats, after: Floats) -> PointChange:
    """The change of the hectares of a class, if the same points have an answer for both seasons.

    The total of after - before has the variance of the design, which is V(before) + V(after) - 2 Cov(before, after):
    far less than that of independent samples where little ground changes (Cochran 1977, chapter 12). The interval
    is +- 1.96 standard errors, or with clusters those of Student's t. Where no point gained or none lost, it reaches
    to the largest gain or loss that their number could have missed.

    before, after: 1 where a point is truly of the class in that season, else 0, shape (points,).
    """
    if sample.why_not:
        return _nothing(sample.why_not)
    whole, ones = sample.strata.whole_ha, np.ones(len(before))
    gain, loss = (ratio(sample, np.maximum(0.0, part), ones).scaled(whole) for part in (after - before, before - after))
    value = float(sample.totals((after - before)[:, None])[0])
    se = math.sqrt(sample.covariance((after - before)[:, None])[0, 0])
    return PointChange(gain, loss, _net(value, se, sample.interval_factor(), gain, loss, whole))


def change_in_zone(
    sample: Sample, before: Floats, after: Floats, area_ha: float, members: NDArray[np.bool_]
) -> PointChange:
    """The change of the hectares of a class in a zone, if its points have an answer for both seasons.

    It is the area of the zone times the mean change of the points that lie in it, a ratio of two totals, whose interval
    is that of `ml.estimation.regression` without a map.

    before, after: As for `change_at_points`, of all points. area_ha: Hectares of the zone that could have been sampled.
    members: Which points lie in the zone, shape (points,).
    """
    if sample.why_not:
        return _nothing(sample.why_not)
    if not members.any():
        return _nothing("No sample point lies in it.")
    change, none = after - before, np.zeros(len(before))
    gain, loss = (regression(sample, np.maximum(0.0, part), none, 0.0, area_ha, members) for part in (change, -change))
    mean, se = linearised(sample, np.where(members, change, 0.0), members.astype(np.float64))
    se = max(se, typical_se(sample, change, members))
    return PointChange(
        gain, loss, _net(area_ha * mean, area_ha * se, sample.interval_factor(members), gain, loss, area_ha)
    )


def _net(value: float, se: float, factor: float, gain: Estimate, loss: Estimate, whole_ha: float) -> Estimate:
    missed_gain, missed_loss = (one.ci95[1] if one.ci95 and not one.value else 0.0 for one in (gain, loss))
    low, high = value - max(factor * se, missed_loss), value + max(factor * se, missed_gain)
    return Estimate(value, se, (max(-whole_ha, low), min(whole_ha, high)))


def _nothing(why: str) -> PointChange:
    return PointChange(nothing(why), nothing(why), nothing(why))
