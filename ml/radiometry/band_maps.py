"""How a band is brought to the radiometry of a reference: three maps from its pixels to what they should have been.

The result of a pixel depends on its value and its place in the scene alone, to the last bit, never on the window it
is read in: whatever is computed here is computed for each element by itself, in float64, without sums or `np.interp`.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ml.contract import BandRadiometry
from ml.geo.windows import Window

CONTRAST = 0.7  # of Wallis' filter: 0 keeps the local contrast, 1 forces it to the reference's
BRIGHTNESS = 0.9  # of Wallis' filter: 0 keeps the local mean, 1 forces it to the reference's

Grid = NDArray[np.float64]
BandMap = Callable[[np.ndarray, Window], Grid]
"""From the pixels of one band, float32 (rows, cols), and the window they were read in, to what they become."""


def robust(scene: BandRadiometry, reference: BandRadiometry) -> BandMap:
    """The linear map that gives the scene the reference's median and MAD; a shift if one of the MADs is 0."""
    gain = reference.mad / scene.mad if scene.mad and reference.mad else 1.0
    shift = reference.median - gain * scene.median

    def change(pixels: np.ndarray, window: Window) -> Grid:
        return pixels.astype(np.float64) * gain + shift

    return change


def histogram(scene: BandRadiometry, reference: BandRadiometry) -> BandMap:
    """The monotone map that takes each quantile of the scene to that of the reference.

    Linear between the quantiles, with slope 1 beyond the first and the last; a value that is several quantiles of the
    scene goes to the mean of the reference's.
    """
    knots, group = np.unique(scene.quantiles, return_inverse=True)
    targets = np.bincount(group, weights=reference.quantiles) / np.bincount(group)
    # piece n reaches from knot n - 1 to knot n, but the first one, which has no beginning, counts from knot 0
    slopes = np.concatenate([[1.0], np.diff(targets) / np.diff(knots), [1.0]])
    start, target = np.concatenate([knots[:1], knots]), np.concatenate([targets[:1], targets])

    def change(pixels: np.ndarray, window: Window) -> Grid:
        piece = np.searchsorted(knots, pixels, side="right")
        changed: Grid = target[piece] + slopes[piece] * (pixels - start[piece])
        return changed

    return change


def wallis(mean: Grid, std: Grid, cell_px: int, reference: BandRadiometry) -> BandMap:
    """The filter of Wallis (1976): local mean and contrast are drawn towards those of the reference.

    mean, std: of the scene's cells, (rows, cols) of them, squares of `cell_px` from its origin. Each cell has its own
    linear map, with gain s / (c std + (1 - c) s), where s is the reference's std and c is CONTRAST. Often c s is
    written above the line; without the c, a cell that is like the reference stays as it is. A pixel becomes what the
    maps of the four cells around it make of it, weighted bilinearly. The contrast is raised 1 / (1 - c) = 3.3 times
    at most, and left alone if the reference has none.
    """
    target = reference.std
    gain = target / (CONTRAST * std + (1 - CONTRAST) * target) if target else np.ones_like(std)
    shift = BRIGHTNESS * reference.mean + (1 - BRIGHTNESS - gain) * mean

    def change(pixels: np.ndarray, window: Window) -> Grid:
        return pixels * bilinear(gain, cell_px, window) + bilinear(shift, cell_px, window)

    return change


def bilinear(cells: Grid, cell_px: int, window: Window) -> Grid:
    """Values of cells as they change from centre to centre, at the centres of the pixels of a window, (rows, cols)."""
    row, down = _between(window.row, window.rows, cell_px, cells.shape[0])
    col, along = _between(window.col, window.cols, cell_px, cells.shape[1])
    across = cells[:, col] + along * _steps(cells.T).T[:, col]  # one line for each row of cells
    between: Grid = across[row] + down[:, None] * _steps(across)[row]
    return between


def _between(first: int, count: int, cell_px: int, cells: int) -> tuple[np.ndarray, Grid]:
    """Of `count` pixels from `first` on: the cell whose centre lies before it, and how far it is to the next one."""
    position = ((np.arange(first, first + count) + 0.5) / cell_px - 0.5).clip(0, cells - 1)
    before = position.astype(np.intp)
    return before, position - before


def _steps(lines: Grid) -> Grid:
    """From each line to the next; after the last there is none."""
    return np.diff(lines, axis=0, append=lines[-1:])
