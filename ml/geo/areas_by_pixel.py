"""The ground area of every single pixel of a window, for sums that must be exact."""

import numpy as np
from numpy.polynomial.chebyshev import chebpts1, chebvander
from numpy.typing import NDArray

from ml.geo.areas import HECTARE_M2, pixel_area_ha
from ml.geo.grid import Grid
from ml.geo.windows import Window

_NODES = 16  # along each side of a window
_CHECKED = 7  # pixels along each side that are compared
_LARGEST_ERROR = 1e-8  # as a share
_ROUNDING_M = 1e-8  # of places on the ellipsoid, which is felt in the area of a single pixel of a few metres


def areas_by_pixel_ha(grid: Grid, window: Window) -> NDArray[np.float64]:
    """Return the ground area of each pixel of a window in hectares, shape (rows, cols).

    It is `pixel_area_ha` of all pixels, which would take seconds. The areas change so smoothly that a polynomial
    through some of them gives the others; where it does not, near the edge of what a projection can show, all are
    computed.
    """
    size = np.array([window.rows, window.cols])
    nodes = (chebpts1(_NODES) + 1) / 2
    to_coefficients = np.linalg.inv(chebvander(2 * nodes - 1, _NODES - 1))
    known = pixel_area_ha(grid, *_places(window, *(np.outer(size, nodes))))
    coefficients = to_coefficients @ known @ to_coefficients.T
    down, across = (chebvander((2 * np.arange(side) + 1) / side - 1, _NODES - 1) for side in size)
    areas: NDArray[np.float64] = down @ coefficients @ across.T
    rows, cols = (np.linspace(0, side - 1, _CHECKED).astype(int) for side in size)
    exact = pixel_area_ha(grid, *_places(window, rows + 0.5, cols + 0.5))
    allowed = _LARGEST_ERROR + _ROUNDING_M / np.sqrt(exact * HECTARE_M2)
    if (np.abs(areas[np.ix_(rows, cols)] - exact) <= allowed * exact).all():
        return areas
    return pixel_area_ha(grid, *_places(window, np.arange(window.rows) + 0.5, np.arange(window.cols) + 0.5))


def _places(window: Window, down: np.ndarray, across: np.ndarray) -> list[np.ndarray]:
    """Return rows and columns of places in a grid. down, across: Of places in the window."""
    return list(np.meshgrid(window.row + down, window.col + across, indexing="ij"))
