"""Boundary IoU: how well a map follows the edges of fields; pixels inside large fields do not count."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt  # type: ignore[attr-defined]  # scipy has no annotations

from ml.contract import UNLABELLED

STRIP_ROWS = 1024  # a distance transform needs about 40 bytes for each pixel: too much for a whole scene at once


def boundary_counts(
    truth: NDArray[np.uint8],
    predicted: NDArray[np.uint8],
    pixel_m: tuple[float, float],
    distance_m: float,
    value: int,
) -> tuple[int, int]:
    """Pixels in the intersection and in the union of the boundary bands of class `value` in truth and map.

    Their ratio is the boundary IoU of Cheng et al. 2021 (arXiv:2103.16562, eq. 1); the counts of several scenes must be
    added first. Both are 0 if the class has no boundary in the truth, which no map can follow then. The band of a class
    consists of its pixels within `distance_m` of a pixel of another class, from centre to centre, so that a distance
    below one pixel gives no band. A pixel that is unlabelled in truth or map is not counted and makes no boundary, and
    neither does the edge of the scene.

    truth, predicted: Class values or `UNLABELLED`, shape (rows, cols). pixel_m: Height and width of a pixel in metres.
    distance_m: Width of the band in metres.
    """
    reach = math.ceil(distance_m / pixel_m[0])
    intersection = union = wanted = 0
    for row in range(0, truth.shape[0], STRIP_ROWS):
        above = min(reach, row)
        around = slice(row - above, row + STRIP_ROWS + reach)  # the rows of the strip, and those within reach of them
        own = slice(above, above + STRIP_ROWS)
        counted = (truth[around] != UNLABELLED) & (predicted[around] != UNLABELLED)
        t, p = (_band(m[around] == value, counted, pixel_m, distance_m)[own] for m in (truth, predicted))
        wanted += int(np.count_nonzero(t))
        intersection += int(np.count_nonzero(t & p))
        union += int(np.count_nonzero(t | p))
    return (intersection, union) if wanted else (0, 0)


def _band(
    inside: NDArray[np.bool_], counted: NDArray[np.bool_], pixel_m: tuple[float, float], distance_m: float
) -> NDArray[np.bool_]:
    """The counted pixels of the class within `distance_m` of a counted pixel of another class, bool (rows, cols)."""
    other = counted & ~inside
    if not other.any():  # without such a pixel, the distances of scipy mean nothing
        return np.zeros_like(inside)
    near = distance_transform_edt(~other, sampling=pixel_m) <= distance_m * (1 + 1e-9)  # so 3 x 0.1 m is within 0.3 m
    return np.asarray(inside & counted & near)
