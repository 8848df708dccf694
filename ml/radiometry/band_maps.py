"""Three maps that bring the pixels of a band to the radiometry of a reference.

The result for a pixel depends only on its value and its place in the scene, to the last bit, and never on the window
in which it is read. So every operation here is element-wise, in float64, without sums over elements and
without `np.interp`.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ml.contract import BandRadiometry
from ml.geo.windows import Window

CONTRAST = 0.7  # Wallis filter: 0 keeps the local contrast, 1 forces it to the reference's
BRIGHTNESS = 0.9  # Wallis filter: 0 keeps the local mean, 1 forces it to the reference's

FloatArray = NDArray[np.float64]
BandMap = Callable[[np.ndarray, Window], FloatArray]
"""Function from the pixels of one band, (rows, cols), float32, and their window to the new pixels, float64."""


def robust(scene: BandRadiometry, reference: BandRadiometry) -> BandMap:
    """Return the linear map that gives the scene the median and the MAD of the reference.

    If one of the MADs is 0, it only shifts the values.
    """
    gain = reference.mad / scene.mad if scene.mad and reference.mad else 1.0
    shift = reference.median - gain * scene.median

    def change(pixels: np.ndarray, window: Window) -> FloatArray:
        return pixels.astype(np.float64) * gain + shift

    return change


def histogram(scene: BandRadiometry, reference: BandRadiometry) -> BandMap:
    """Return the monotone map that takes each quantile of the scene to the same quantile of the reference.

    It is linear between quantiles, with slope 1 below the first and above the last. A value that equals several
    quantiles of the scene goes to the mean of the same quantiles of the reference.
    """
    knots, group = np.unique(scene.quantiles, return_inverse=True)
    targets = np.bincount(group, weights=reference.quantiles) / np.bincount(group)
    # segment n goes from knot n - 1 to knot n; segment 0 has no lower end, so it is measured from knot 0
    slopes = np.concatenate([[1.0], np.diff(targets) / np.diff(knots), [1.0]])
    start, target = np.concatenate([knots[:1], knots]), np.concatenate([targets[:1], targets])

    def change(pixels: np.ndarray, window: Window) -> FloatArray:
        segment = np.searchsorted(knots, pixels, side="right")
        changed: FloatArray = target[segment] + slopes[segment] * (pixels - start[segment])
        return changed

    return change


def wallis(mean: FloatArray, std: FloatArray, cell_px: int, reference: BandRadiometry) -> BandMap:
    """Return the filter of Wallis (1976), which brings local mean and contrast closer to those of the reference.

    Each cell has its own linear map, with gain s / (c std + (1 - c) s), where s is the reference's std and c is
    CONTRAST. The numerator is often written c s; without the c, a cell that is like the reference does not change.
    The gain and the shift of a pixel are interpolated bilinearly between the four cells around it. The contrast
    increases by a factor of at most 1 / (1 - c) = 3.3, and does not change if the reference's std is 0.

    mean, std: Mean and standard deviation in each cell of the scene, shape (cell rows, cell columns), float64.
    cell_px: Side of a cell, in pixels; cells are squares from the origin of the scene.
    """
    target = reference.std
    gain = target / (CONTRAST * std + (1 - CONTRAST) * target) if target else np.ones_like(std)
    shift = BRIGHTNESS * reference.mean + (1 - BRIGHTNESS - gain) * mean

    def change(pixels: np.ndarray, window: Window) -> FloatArray:
        return pixels * bilinear(gain, cell_px, window) + bilinear(shift, cell_px, window)

    return change


def bilinear(cells: FloatArray, cell_px: int, window: Window) -> FloatArray:
    """Interpolate values of cells bilinearly at the centres of the pixels of a window, shape (rows, cols), float64.

    Values apply at the centres of the cells, and are constant beyond the outermost centres.
    """
    row, down = _between(window.row, window.rows, cell_px, cells.shape[0])
    col, along = _between(window.col, window.cols, cell_px, cells.shape[1])
    across = cells[:, col] + along * _steps(cells.T).T[:, col]  # shape (cell rows, cols)
    between: FloatArray = across[row] + down[:, None] * _steps(across)[row]
    return between


def _between(first: int, count: int, cell_px: int, cells: int) -> tuple[np.ndarray, FloatArray]:
    """Locate `count` pixels from `first` on between the centres of cells.

    Return the cell before each pixel, and the distance from its centre as a share of the distance to the next centre.
    """
    position = ((np.arange(first, first + count) + 0.5) / cell_px - 0.5).clip(0, cells - 1)
    before = position.astype(np.intp)
    return before, position - before


def _steps(lines: FloatArray) -> FloatArray:
    """Return the difference from each line to the next one; it is 0 for the last line."""
    return np.diff(lines, axis=0, append=lines[-1:])
