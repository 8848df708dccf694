"""The stratified estimator for a sample whose strata are the classes of the map, from its table of counts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ml.estimation.sample import Floats, Integers
from ml.estimation.student import NORMAL
from ml.estimation.values import Estimate, nothing, of_strata, wilson, within
from ml.faults import Note

_FAR = 1.25  # times the half width of the interval
_NO_POINT = "No sample point is truly of the class."


@dataclass(frozen=True)
class Stratified:
    """What a table of counts tells.

    areas: Area of each class, in the unit of the mapped areas. overall, users, producers: Accuracies, the latter two by
    class. shares: Estimated shares of the area by mapped (rows) and true class (columns), shape (classes, classes);
    None if a stratum lacks points. notes: What the intervals cannot know.
    """

    areas: tuple[Estimate, ...]
    overall: Estimate
    users: tuple[Estimate, ...]
    producers: tuple[Estimate, ...]
    shares: Floats | None
    notes: tuple[Note, ...]


def stratified(counts: Integers, mapped: Floats, names: Sequence[str]) -> Stratified:
    """Areas and accuracies by Olofsson et al. 2014, doi 10.1016/j.rse.2014.02.015.

    The strata are the classes of the map, with shares W of the whole area A. From each, n[i] points were drawn, of
    which n[i, j] are truly of class j, a share q[i, j] = n[i, j] / n[i]. By equation:

    * 4: shares of the area p[i, j] = W[i] * q[i, j]; let t[j] be the sum over i of p[i, j];
    * 1, 2, 3: overall accuracy O = sum of p[i, i], user's U[i] = q[i, i], producer's P[j] = p[j, j] / t[j];
    * 5, 6: V(O) = sum of W[i]^2 * V(U[i]), where V(U[i]) = U[i] * (1 - U[i]) / (n[i] - 1);
    * 7: V(P[j]) = sum over i of d[i]^2 * v[i, j] / t[j]^2, where d[i] is 1 - P[j] for i = j, else P[j], and
      v[i, j] = W[i]^2 * q[i, j] * (1 - q[i, j]) / (n[i] - 1);
    * 8 to 11: area of class j = A * t[j], and its standard error A * root of the sum over i of v[i, j].

    Intervals are the estimate +- 1.96 standard errors, cut off at 0 and the whole. Where no point differs from the
    others of its stratum, the interval is that of `of_strata`.

    counts: Points by mapped class (rows) and true class (columns), shape (classes, classes). mapped: Area of each map
    class, shape (classes,). names: Names of the classes.

    Returns:
        The estimates. All but the user's accuracies are None if a class on the map has fewer than two points.
    """
    points = counts.sum(axis=1)
    users = tuple(_user(counts[i, i], points[i]) for i in range(len(points)))
    if why := _why_not(points, mapped, names):
        none = (nothing(why),) * len(points)
        return Stratified(none, none[0], users, none, None, ())
    whole, weights = float(mapped.sum()), mapped / mapped.sum()
    q = counts / np.maximum(points, 1)[:, None]
    shares = weights[:, None] * q
    variances = weights[:, None] ** 2 * q * (1 - q) / np.maximum(points - 1, 1)[:, None]
    areas = tuple(_share(q[:, j], variances[:, j].sum(), weights, points).scaled(whole) for j in range(len(points)))
    return Stratified(
        areas=areas,
        overall=_share(np.diagonal(q), np.diagonal(variances).sum(), weights, points),
        users=users,
        producers=tuple(_producer(j, shares[:, j], variances[:, j], counts[:, j]) for j in range(len(points))),
        shares=shares,
        notes=tuple(_few(areas, q, mapped, points, names)),
    )


def _why_not(points: Integers, mapped: Floats, names: Sequence[str]) -> str | None:
    """Why the area cannot be estimated; None if it can."""
    for name, count, area in zip(names, points, mapped, strict=True):
        if area > 0 and count == 0:
            return f"Class {name} is on the map and has no sample point, so that nothing is known of its ground."
        if area > 0 and count == 1:
            return f"Class {name} has a single sample point, which shows no variance: it needs two."
    return None


def _share(q: Floats, variance: float, weights: Floats, points: Integers) -> Estimate:
    """The share sum(W * q) of the whole; a stratum without area needs no points."""
    if variance > 0:
        return within(float(weights @ q), float(np.sqrt(variance)), 1.0)
    return of_strata([(w, share, float(n)) for w, share, n in zip(weights, q, points, strict=True) if w > 0], 1.0)


def _user(right: int, points: int) -> Estimate:
    if points < 2:
        return nothing("Fewer than two sample points are mapped as the class.")
    return _share(
        np.array([right / points]), right / points * (1 - right / points) / (points - 1), np.ones(1), np.array([points])
    )


def _producer(j: int, shares: Floats, variances: Floats, counts: Integers) -> Estimate:
    truly = float(shares.sum())
    if truly == 0:
        return nothing(_NO_POINT)
    found = np.arange(len(shares)) == j
    value = float(shares[j]) / truly
    variance = float((np.where(found, 1 - value, value) ** 2 * variances).sum()) / truly**2
    return _share(found * 1.0, variance, shares / truly, counts)


def _few(
    areas: Sequence[Estimate], q: Floats, mapped: Floats, points: Integers, names: Sequence[str]
) -> Iterator[Note]:
    """A note where a stratum alone may have more of a class than the interval has room for, as it shows few or none."""
    for j, area in enumerate(areas):
        for i, (share, ground, count) in enumerate(zip(q[:, j], mapped, points, strict=True)):
            if not area.se or ground <= 0 or share >= 0.5:
                continue
            room = float(ground) * (wilson(share, float(count))[1] - share)
            if room > _FAR * NORMAL * area.se:
                detail = (
                    f"{round(share * count)} of the {count} points mapped as {names[i]} are truly {names[j]}. "
                    f"With so few, chance may hide {room:,.2f} more of it there, and the interval of {names[j]} "
                    "reaches less far."
                )
                yield Note(code="few_in_stratum", detail=detail, hint=f"Draw more points mapped as {names[i]}.")
