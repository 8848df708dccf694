"""The area of a class, estimated from the map and from the errors of the map on test scenes: an indication.

The test scenes are chosen for learning and are no probability sample of the mapped ground; `ml.estimation` has the
estimators for such samples.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ml.estimation.values import Interval, wilson
from ml.evaluation.metrics import BLOCK_PX, Confusion
from ml.evaluation.new_scene import BlockErrors, half_width

Floats = NDArray[np.float64]
TestScenes = Sequence[Sequence[Confusion]]  # the confusions of the blocks of each test scene
_ONE_SCENE = (
    "The interval comes from the blocks of a single test scene. It does not know how scenes differ, and may be far too "
    "narrow."
)


def why_not_adjusted(
    mapped_ha: Mapping[int, float], confusion: Confusion, scenes: TestScenes, *, value: int = 1
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
    if sum(map(len, scenes)) < 2:
        return f"The test labels lie in fewer than two blocks of {BLOCK_PX} x {BLOCK_PX} pixels."
    return None


def caution(scenes: TestScenes) -> str | None:
    """What the interval of `adjusted_area` does not know, as a sentence; None if it knows how scenes differ."""
    return _ONE_SCENE if len([scene for scene in scenes if scene]) == 1 else None


def adjusted_area(
    mapped_ha: Mapping[int, float],
    confusion: Confusion,
    scenes: TestScenes,
    *,
    mapped_blocks: float,
    value: int = 1,
) -> tuple[float, Interval] | None:
    """The area of class `value` in hectares, adjusted for the map's errors, and its 95 % prediction interval.

    The stratified estimator of Olofsson et al. 2014 (doi 10.1016/j.rse.2014.02.015, eq. 9): the map classes are the
    strata. The mapped area of each stratum i counts for class `value` by the share of the test pixels mapped as i that
    truly are of this class: the sum over i of mapped_ha[i] * n_i,value / n_i. The estimate assumes that the mapped
    scene is one like the test scenes. The interval is for such a new scene, whose errors differ from the mean of the
    test scenes as these differ from each other, see `ml.evaluation.new_scene.half_width`. If the test has no error at
    all, the interval comes from the largest share of errors that its number of blocks could have missed (Wilson).

    mapped_ha: Hectares by map class, which is the index of the class in the confusion. confusion, scenes: Test pixels
    by true and mapped class, in all, and by scene and block (`ml.evaluation.metrics.block_confusions`). mapped_blocks:
    Size of the mapped ground in such blocks. value: Class whose area is estimated.

    Returns:
        The area and its interval, or None if a mapped class has no test pixel, if there are fewer than two blocks, or
        if all test pixels are of class `value` or none is: their shares would say 0 or 100 % without a doubt.
        `why_not_adjusted` tells which it is, and `caution` what the interval does not know.
    """
    if why_not_adjusted(mapped_ha, confusion, scenes, value=value):
        return None
    counts = np.asarray(confusion, dtype=np.float64)
    tested = counts.sum(axis=0)
    rates = np.divide(counts[value], tested, out=np.zeros(len(tested)), where=tested > 0)
    strata_ha = np.array([mapped_ha.get(mapped, 0.0) for mapped in range(len(counts))])
    estimate, whole = float(strata_ha @ rates), float(strata_ha.sum())
    if not whole:
        return 0.0, (0.0, 0.0)
    errors = [_errors(np.asarray(scene, dtype=np.float64), rates, value) for scene in scenes if scene]
    if any(scene.errors.any() for scene in errors):
        half = half_width(errors, mapped_blocks)
    else:
        half = wilson(0.0, sum(scene.effective_blocks for scene in errors))[1]
    return estimate, (max(0.0, estimate - half * whole), min(whole, estimate + half * whole))


def _errors(blocks: Floats, rates: Floats, value: int) -> BlockErrors:
    """The errors of the blocks of a scene, counts of shape (blocks, true class, map class), after the adjustment."""
    return BlockErrors(errors=blocks[:, value].sum(axis=1) - blocks.sum(axis=1) @ rates, pixels=blocks.sum(axis=(1, 2)))
