"""To which zone each pixel of a map belongs, by its centre."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ml.geo.grid import Grid
from ml.geo.windows import Window
from ml.zones.coverage import Outline
from ml.zones.placing import outlines_on
from ml.zones.read import Zones

NO_ZONE = 0


class ZoneNumbers:
    """The number of the zone of each pixel, window by window: from 1 on, in the order of the layer; 0 for no zone.

    A pixel belongs to the smallest zone that has its centre: a township rather than its county. Of zones that overlap
    without being parts of each other, it belongs to the first one of the layer.

    names: Code, and name or code, of each zone. above: Of each zone, the numbers of those that it is a part of.
    """

    def __init__(self, zones: Zones, grid: Grid) -> None:
        """Place the zones on the grid of a map."""
        self.names: Sequence[tuple[str, str]] = tuple((each.code, each.name or each.code) for each in zones.texts)
        self.above = [frozenset(each + 1 for each in zones.ancestors(number)) for number in range(len(zones.texts))]
        found = outlines_on(zones, grid)
        self._outlines = {
            number + 1: found[number] for number in sorted(found, key=lambda each: (len(self.above[each]), each))
        }

    def of(self, window: Window) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
        """The zone of each pixel of a window, and which pixels lie in several that are no parts of each other.

        Returns:
            Both of shape (rows, cols).
        """
        numbers = np.zeros((window.rows, window.cols), np.uint16)
        several = np.zeros(numbers.shape, dtype=bool)
        for number, outline in self._outlines.items():
            if not outline.touches(window):
                continue
            there = centres(outline, window)
            taken = there & (numbers != NO_ZONE)
            if taken.any():
                wider = np.isin(numbers, [NO_ZONE, *self.above[number - 1]])
                several |= taken & ~wider
                there &= wider
            numbers[there] = number
        return numbers, several


def centres(outline: Outline, window: Window) -> NDArray[np.bool_]:
    """Whether the centre of each pixel of a window lies within an outline, shape (rows, cols).

    It is what `ml.zones.locating.inside` says of these points, computed along rows: each edge that crosses the line
    through the centres of a row changes sides for all pixels to the left of it.
    """
    edges = outline.edges
    upwards = edges[:, 0, 1] > edges[:, 1, 1]
    edges = np.where(upwards[:, None, None], edges[:, ::-1], edges)  # one rounding for both sides of a border
    (x0, y0), (x1, y1) = np.moveaxis(edges, (1, 2), (0, 1))
    middles = window.row + 0.5 + np.arange(window.rows)
    first, end = np.searchsorted(middles, y0), np.searchsorted(middles, y1)
    counts = end - first
    edge = np.repeat(np.arange(len(edges)), counts)
    row = first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts)
    along = (middles[row] - y0[edge]) / (y1[edge] - y0[edge])
    crossing = x0[edge] + along * (x1[edge] - x0[edge])
    col = np.clip(np.ceil(crossing - 0.5) - window.col, 0, window.cols).astype(np.int64)  # the first that lies beyond
    changes = np.bincount(row * (window.cols + 1) + col, minlength=window.rows * (window.cols + 1))
    changes = changes.reshape(window.rows, window.cols + 1)
    right_of = np.cumsum(changes[:, ::-1], axis=1)[:, ::-1]
    return np.asarray(right_of[:, 1:] % 2 == 1)
