"""A probability sample of a map, and the variance of the totals that are estimated from it."""

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ml.estimation.student import NORMAL, t_quantile

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Design = Literal["random", "stratified", "systematic", "cluster"]
NO_ZONE = -1


@dataclass(frozen=True)
class Strata:
    """The strata that a sample was drawn from; a simple random or systematic sample has one.

    names: What each is called. area_ha: Area of each in hectares, shape (strata,). units: How many units of each could
    have been drawn, shape (strata,): pixels, or clusters in a cluster sample. Only the finite population correction
    needs them, which is not made without.
    """

    names: tuple[str, ...]
    area_ha: Floats
    units: Floats | None = None

    @property
    def whole_ha(self) -> float:
        """The area of all strata."""
        return float(self.area_ha.sum())


@dataclass(frozen=True)
class Points:
    """The sample points that have an answer. Each column has the shape (points,).

    stratum: Index into the `Strata`. mapped, reference: Index of the class on the map, and of the true class. zone:
    Index of the zone in which the point lies, or `NO_ZONE`. cluster: The number of the point's cluster, in a cluster
    sample. size: Ground area of the point's pixel, in any unit; without it, the pixels of a stratum are of equal size.
    """

    stratum: Integers
    mapped: Integers
    reference: Integers
    zone: Integers | None = None
    cluster: Integers | None = None
    size: Floats | None = None


@dataclass(frozen=True)
class Sample:
    """Points that were drawn from strata by a design.

    design: The variance of "random" and "stratified" is that between the points of a stratum. "systematic" is computed
    as if it were random: points on a grid are spread better, so that this variance is mostly too large (Cochran 1977,
    chapter 8). "cluster" takes the variance between clusters, since the points of a cluster may be alike. All points of
    a stratum must have had the same probability of being drawn.

    Raises:
        ValueError: The columns have different lengths, a stratum is not there, or a cluster sample has no clusters.
    """

    design: Design
    strata: Strata
    points: Points

    def __post_init__(self) -> None:
        columns = [column for column in vars(self.points).values() if column is not None]
        if len({len(column) for column in columns}) != 1:
            raise ValueError("the columns of the points have different lengths")
        if not np.isin(self.points.stratum, np.arange(len(self.strata.area_ha))).all():
            raise ValueError("a point lies in a stratum that is not there")
        if self.design == "cluster" and self.points.cluster is None:
            raise ValueError("a cluster sample needs the cluster of each point")

    @cached_property
    def drawn(self) -> Integers:
        """How many units were drawn from each stratum, points or clusters, shape (strata,)."""
        return np.bincount(self.units[1], minlength=len(self.strata.area_ha))

    @cached_property
    def not_drawn(self) -> Floats:
        """The share of the units of each stratum that was not drawn, shape (strata,); 1 if the units are not known."""
        if self.strata.units is None:
            return np.ones(len(self.strata.area_ha))
        shares: Floats = np.clip(1 - self.drawn / np.maximum(self.strata.units, 1), 0, 1)
        return shares

    @cached_property
    def weights_ha(self) -> Floats:
        """The hectares that each point stands for, shape (points,): an equal part of the area of its stratum.

        Where pixels are of different size, like those of degrees far from each other, the part is by their size. The
        totals are then the separate ratio estimates with size as the auxiliary (Cochran 1977, section 6.10).
        """
        weights: Floats = self.strata.area_ha[self.points.stratum] * self._parts
        return weights

    def of_strata(self, which: NDArray[np.bool_]) -> tuple["Sample", NDArray[np.bool_]]:
        """The sample of some strata alone, and which points it has, shape (points,). which: Shape (strata,)."""
        numbers, there = np.flatnonzero(which), which[self.points.stratum]
        units = None if self.strata.units is None else self.strata.units[numbers]
        strata = Strata(tuple(self.strata.names[each] for each in numbers), self.strata.area_ha[numbers], units)
        columns = {each.name: getattr(self.points, each.name) for each in fields(Points)}
        chosen: dict[str, Any] = {name: None if each is None else each[there] for name, each in columns.items()}
        chosen["stratum"] = np.searchsorted(numbers, chosen["stratum"])
        return Sample(self.design, strata, Points(**chosen)), there

    @property
    def why_not(self) -> str | None:
        """Why nothing can be estimated for all strata, as a sentence; None if the sample is large enough.

        A stratum of which every unit was drawn is known: one unit suffices where there is one alone.
        """
        few = np.flatnonzero((self.drawn < 2) & (self.strata.area_ha > 0) & (self.not_drawn > 0))
        if not len(few):
            return None
        name = self.strata.names[few[0]]
        if self.drawn[few[0]]:
            return f"Stratum {name} has a single sample point or cluster, which shows no variance: it needs two."
        return f"Stratum {name} has no sample point, so that nothing is known of its ground."

    def totals(self, values: Floats) -> Floats:
        """The estimated totals of `values`, shape (points, k), over all hectares, shape (k,): Horvitz and Thompson."""
        totals: Floats = self.weights_ha @ values
        return totals

    def covariance(self, values: Floats) -> Floats:
        """The estimated covariance of the `totals` of `values`, shape (k, k), with values of shape (points, k).

        Within each stratum it is (1 - m / M) * m / (m - 1) times the sum over its m drawn units, of M in all, of the
        products of their deviations. A unit's deviation is the sum over its points of weight * (value - mean of the
        stratum) (Cochran 1977, chapters 5 and 9A).
        """
        deviations = self.weights_ha[:, None] * (values - self._means(values)[self.points.stratum])
        unit, stratum_of_unit = self.units
        by_unit = np.zeros((len(stratum_of_unit), values.shape[1]))
        np.add.at(by_unit, unit, deviations)
        by_unit *= np.sqrt(self._factors)[stratum_of_unit, None]
        return by_unit.T @ by_unit

    def variances(self, values: Floats) -> Floats:
        """The variance of `values`, shape (points,), within each stratum, shape (strata,); 0 with one point."""
        deviations = values - self._means(values[:, None])[self.points.stratum, 0]
        squares = np.bincount(self.points.stratum, deviations**2, minlength=len(self.strata.area_ha))
        variances: Floats = squares / np.maximum(self._points_by_stratum - 1, 1)
        return variances

    def interval_factor(self, members: NDArray[np.bool_] | None = None) -> float:
        """How many standard errors the 95 % interval extends to each side.

        1.96 for the whole of a sample of points, as published. With clusters, and within a zone, the variance comes
        from few units, so Student's t takes the place of 1.96: with the units less the strata, or less 1 in a zone, as
        degrees of freedom.

        members: Which points lie in the zone, shape (points,).
        """
        if members is None and self.design != "cluster":
            return NORMAL
        unit, stratum_of_unit = self.units
        used = np.unique(unit if members is None else unit[members])
        strata = len(np.unique(stratum_of_unit[used])) if members is None else 1
        return t_quantile(max(len(used) - strata, 1))

    @cached_property
    def _points_by_stratum(self) -> Integers:
        return np.bincount(self.points.stratum, minlength=len(self.strata.area_ha))

    @cached_property
    def units(self) -> tuple[Integers, Integers]:
        """The index of the drawn unit of each point, shape (points,), and the stratum of each drawn unit."""
        stratum = self.points.stratum
        if self.design != "cluster" or self.points.cluster is None:
            return np.arange(len(stratum)), stratum
        pairs, unit = np.unique(np.stack([stratum, self.points.cluster]), axis=1, return_inverse=True)
        return unit.ravel(), pairs[0]

    @cached_property
    def _factors(self) -> Floats:
        """(1 - m / M) * m / (m - 1) of each stratum; 0 where fewer than two units were drawn, see `why_not`."""
        drawn = self.drawn.astype(np.float64)
        factors: Floats = np.where(drawn > 1, self.not_drawn * drawn / np.maximum(drawn - 1, 1), 0.0)
        return factors

    @cached_property
    def _parts(self) -> Floats:
        """The part of its stratum that each point stands for, shape (points,); those of a stratum add up to 1."""
        stratum = self.points.stratum
        size = np.ones(len(stratum)) if self.points.size is None else self.points.size
        of_stratum = np.bincount(stratum, size, minlength=len(self.strata.area_ha))
        parts: Floats = size / of_stratum[stratum]
        return parts

    def _means(self, values: Floats) -> Floats:
        """The mean of `values` in each stratum, shape (strata, k)."""
        means = np.zeros((len(self.strata.area_ha), values.shape[1]))
        np.add.at(means, self.points.stratum, self._parts[:, None] * values)
        return means
