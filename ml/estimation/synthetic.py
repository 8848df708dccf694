"""The synthetic estimate of a zone, which has too few points of its own, and its composite with them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ml.estimation.sample import Floats, Sample
from ml.estimation.student import t_quantile
from ml.estimation.values import Estimate, nothing

LEAST_ZONES = 3  # that have enough points, to tell how much zones differ


@dataclass(frozen=True)
class Spread:
    """How much zones differ from their synthetic estimates.

    variance: Of the share of the area, without what is due to sampling. zones: Number of zones that tell it.
    """

    variance: float
    zones: int


def synthetic(sample: Sample, truly: Floats, mapped: Floats, mapped_ha: Floats) -> Estimate:
    """The hectares of a class in a zone, if the map has the same error rates there as in the whole sample.

    It is the sum over the map classes k of mapped_ha[k] * R[k], where R[k] is the share of what is mapped as k that
    is truly of the class. The standard error is that of the rates alone, see `with_spread`; there is no interval yet.

    truly: 1 where a point is truly of the class, else 0, shape (points,). mapped: 1 where it is mapped as a class,
    shape (points, classes). mapped_ha: Hectares of the zone by map class, shape (classes,).
    """
    if sample.why_not:
        return nothing(sample.why_not)
    found = sample.totals(mapped)
    if ((mapped_ha > 0) & (found == 0)).any():
        return nothing("The zone has a class on its map that no sample point was mapped as.")
    there = np.maximum(found, np.finfo(float).tiny)
    rates = sample.totals(mapped * truly[:, None]) / there
    deviations = (mapped * (truly[:, None] - rates)) @ (mapped_ha / there)
    return Estimate(float(mapped_ha @ rates), math.sqrt(sample.covariance(deviations[:, None])[0, 0]))


def spread(own: Sequence[Estimate], assumed: Sequence[Estimate], areas_ha: Sequence[float]) -> Spread | None:
    """How much the own estimates of zones differ from the synthetic ones (Gonzalez and Waksberg 1973).

    The mean over the zones of (own - synthetic)^2 - se(own)^2, of shares of the area, and not below 0. None with fewer
    than `LEAST_ZONES` zones.
    """
    pairs = [
        (((mine.value - other.value) / area) ** 2 - (mine.se / area) ** 2)
        for mine, other, area in zip(own, assumed, areas_ha, strict=True)
        if mine.value is not None and mine.se is not None and other.value is not None
    ]
    return Spread(max(0.0, float(np.mean(pairs))), len(pairs)) if len(pairs) >= LEAST_ZONES else None


def with_spread(assumed: Estimate, area_ha: float, differ: Spread | None) -> Estimate:
    """The synthetic estimate with its whole error: that of the rates, and that zones differ.

    Without `differ`, it has no standard error.
    """
    if assumed.value is None or assumed.se is None:
        return assumed
    if differ is None:
        why = f"Fewer than {LEAST_ZONES} zones have enough points to tell how much zones differ from each other."
        return Estimate(assumed.value, why=why)
    return _between(assumed.value, math.hypot(assumed.se, area_ha * math.sqrt(differ.variance)), area_ha, differ)


def composite(own: Estimate, assumed: Estimate, weight: float, area_ha: float, differ: Spread | None) -> Estimate:
    """weight * own + (1 - weight) * assumed, a composite of two estimates (Drew, Singh and Choudhry 1982).

    own: Estimate from the zone's own points. assumed: Result of `with_spread`. weight: Share of the points that the
    zone has of those that it needs, 0 to 1. The errors of the two are taken as independent, as nearly all points of the
    rates lie in other zones.
    """
    if own.value is None or assumed.value is None:
        return assumed if own.value is None else own
    value = weight * own.value + (1 - weight) * assumed.value
    if own.se is None or assumed.se is None or differ is None:
        return Estimate(value, why=assumed.why)
    return _between(value, math.hypot(weight * own.se, (1 - weight) * assumed.se), area_ha, differ)


def _between(value: float, se: float, area_ha: float, differ: Spread) -> Estimate:
    """The estimate with an interval from Student's t, since few zones tell how much zones differ."""
    half = t_quantile(differ.zones - 1) * se
    return Estimate(value, se, (max(0.0, value - half), min(area_ha, value + half)))
