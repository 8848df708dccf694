"""All that a sample tells of a map: areas by class and zone, accuracies, and the error matrix."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ml.estimation.ratio import ratio
from ml.estimation.regression import regression
from ml.estimation.rows import AreaRow
from ml.estimation.sample import Floats, Integers, Sample
from ml.estimation.values import Estimate
from ml.estimation.zones import MIN_POINTS, Auxiliary, Zones, zone_rows


@dataclass(frozen=True)
class SampleEstimates:
    """What a sample tells of a map.

    rows: First all sampled ground, by class, then zone by zone, by class. overall: Overall accuracy. users, producers:
    User's and producer's accuracy of each class. counts: Points by mapped class (rows) and true class (columns), shape
    (classes, classes). shares: Estimated shares of the area, of the same shape; None if a stratum lacks points.
    """

    rows: tuple[AreaRow, ...]
    overall: Estimate
    users: tuple[Estimate, ...]
    producers: tuple[Estimate, ...]
    counts: Integers
    shares: Floats | None


def estimate(
    sample: Sample,
    classes: int,
    *,
    auxiliary: Auxiliary | None = None,
    zones: Zones | None = None,
    min_points: int = MIN_POINTS,
) -> SampleEstimates:
    """The areas of the classes on all sampled ground and by zone, and the accuracies of the map.

    The areas of all sampled ground are those of the design: Cochran's, or Olofsson's if the strata are the classes of
    the map. With an `auxiliary` they are those of `ml.estimation.regression`. Zones always have those, see `zone_rows`.
    Accuracies are those of `ml.estimation.ratio`. If a stratum has less than two drawn units, all are None, and `why`
    names it.

    sample: The points that have an answer. classes: Number of classes. auxiliary: What else the map says. zones: Zones
    to have rows for. min_points: Number of points that a zone needs for an estimate of its own.
    """
    points = sample.points
    mapped, truly = (
        (column[:, None] == np.arange(classes)).astype(float) for column in (points.mapped, points.reference)
    )
    right, ones = mapped * truly, np.ones(len(mapped))
    in_zones = zone_rows(sample, truly, mapped, zones, auxiliary, min_points) if zones else ()
    return SampleEstimates(
        rows=(*_all_ground(sample, truly, auxiliary), *in_zones),
        overall=ratio(sample, right.sum(axis=1), ones),
        users=tuple(ratio(sample, right[:, k], mapped[:, k]) for k in range(classes)),
        producers=tuple(ratio(sample, right[:, k], truly[:, k]) for k in range(classes)),
        counts=(mapped.T @ truly).astype(np.int64),
        shares=None if sample.why_not else (mapped * sample.weights_ha[:, None]).T @ truly / sample.strata.whole_ha,
    )


def _all_ground(sample: Sample, truly: Floats, auxiliary: Auxiliary | None) -> Iterator[AreaRow]:
    whole, ones, count = sample.strata.whole_ha, np.ones(len(truly)), len(truly)
    for k in range(truly.shape[1]):
        if auxiliary is None:
            area = ratio(sample, truly[:, k], ones).scaled(whole)
            yield AreaRow(None, k, area, count, sample.design)
        else:
            area = regression(sample, truly[:, k], auxiliary.values[:, k], float(auxiliary.total_ha[k]), whole)
            yield AreaRow(None, k, area, count, "regression")
