"""The area of a class, estimated from the map and from the errors of the map."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.evaluation.metrics import BLOCK_PX, Confusion

Floats = NDArray[np.float64]


def why_not_adjusted(
    mapped_ha: Mapping[int, float], confusion: Confusion, blocks: Sequence[Confusion], *, value: int = 1
) -> str | None:
    """Why `adjusted_area` has no estimate for these arguments, as a sentence; None if it has one."""
    counts = np.asarray(confusion)
    truly, tested = counts.sum(axis=1), counts.sum(axis=0)
    if not truly.sum():
        return "The test split has no labelled pixel."
    if truly[value] == 0:
        return "No test pixel is truly of the class."
    if truly[value] == truly.sum():
        return "All test pixels are of the class."
    if any(mapped_ha.get(mapped, 0.0) > 0 and not pixels for mapped, pixels in enumerate(tested.tolist())):
        return "The scene has a class on its map that no test pixel was mapped as."
    if len(blocks) < 2:
        return f"The test labels lie in fewer than two blocks of {BLOCK_PX} x {BLOCK_PX} pixels."
    return None


def adjusted_area(
    mapped_ha: Mapping[int, float],
    confusion: Confusion,
    blocks: Sequence[Confusion],
    *,
    value: int = 1,
    seed: int = 0,
    resamples: int = 1000,
) -> tuple[float, tuple[float, float]] | None:
    """The area of class `value` in hectares, adjusted for the map's errors, and its 95 % confidence interval.

    The stratified estimator of Olofsson et al. 2014 (doi 10.1016/j.rse.2014.02.015, eq. 9 and 10): the map classes
    are the strata. The mapped area of each stratum i counts for class `value` by the share of the test pixels mapped as
    i that truly are of this class: the sum over i of mapped_ha[i] * n_i,value / n_i. The estimate assumes that the test
    scenes are like the mapped scene. The interval is the 2.5 and 97.5 percentile over `resamples` bootstraps of whole
    blocks, since the errors of neighbouring pixels are not independent.

    mapped_ha: Hectares by map class, which is the index of the class in the confusion. confusion, blocks: Test pixels
    by true and mapped class, in all and by block (`ml.evaluation.metrics.block_confusions`). value: Class whose area is
    estimated. seed: Seed of the bootstrap.

    Returns:
        The area and its interval, or None if a mapped class has no test pixel, if there are fewer than two blocks, or
        if all test pixels are of class `value` or none is: their shares would say 0 or 100 % without a doubt. Resamples
        in which a mapped class has no test pixel are left out of the interval. `why_not_adjusted` tells which it is.
    """
    if why_not_adjusted(mapped_ha, confusion, blocks, value=value):
        return None
    strata_ha = np.array([mapped_ha.get(mapped, 0.0) for mapped in range(len(confusion))])
    estimate = float(_truly(value, strata_ha, np.asarray(confusion)))
    counts = np.asarray(blocks, dtype=np.int64)
    drawn = np.random.default_rng(seed).integers(len(blocks), size=(resamples, len(blocks)))
    resampled = np.stack([counts[draw].sum(axis=0) for draw in drawn])
    low, high = np.nanpercentile(_truly(value, strata_ha, resampled), [2.5, 97.5])
    return estimate, (float(low), float(high))


def _truly(value: int, strata_ha: Floats, counts: NDArray[np.int64]) -> NDArray[Any]:
    """Estimated hectares of class `value`, shape (...), NaN where a mapped stratum has no test pixel.

    strata_ha: Mapped hectares by class, shape (classes,). counts: Test pixels, shape (..., true class, map class).
    """
    tested = counts.sum(axis=-2)
    share = np.divide(counts[..., value, :], tested, out=np.full(tested.shape, np.nan), where=tested > 0)
    hectares: NDArray[Any] = np.where(strata_ha > 0, strata_ha * share, 0.0).sum(axis=-1)
    return hectares
