"""The mean probability of the class in each patch of a map, strip by strip of the map.

A patch follows the lines between pixels. So the sum over its pixels is a sum over its vertical edges: along each row,
what lies to the left of an edge that runs down counts, and what lies to the left of one that runs up is taken away.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from ml.geo.grid import Grid
from ml.products.cog import Raster

_STRIP_PX = 1 << 21


@dataclass(frozen=True)
class Probabilities:
    """The probability of a map.

    probability: Bytes, of which b means (b + 0.5) / 250, uint8 (rows, cols): of two classes that of class 1, of more
    that of the class in `classes`. classes: The class map, uint8 (rows, cols); None of two classes.
    """

    probability: Raster
    classes: Raster | None = None

    def means(self, geometries: NDArray[np.object_], values: NDArray[np.uint8], grid: Grid) -> NDArray[np.float64]:
        """The mean probability of its class in each patch, from 0 to 1, shape (n,).

        Of two classes, all pixels of the patch count. Of more, only those count that were mapped as its class before
        small patches were merged: of others the probability of the class is not known.

        geometries: Patches as `patches` traces them. values: Their classes. grid: That of the map.
        """
        sums = np.zeros((2, len(geometries)))
        edges = _VerticalEdges.of(geometries, grid)
        for rows, some in edges.by_strip(max(1, _STRIP_PX // grid.cols)):
            window = slice(*rows), slice(0, grid.cols)
            probability = self.probability[window]
            mapped = None if self.classes is None else self.classes[window]
            for value in np.unique(values[some.owners]).tolist():
                chosen = some.among(values[some.owners] == value)
                known = np.ones(probability.shape, bool) if mapped is None else mapped == value
                for index, summed in enumerate((np.where(known, probability, 0), known)):
                    sums[index] += chosen.sums(summed, rows[0], len(geometries))
        return np.asarray((sums[0] / sums[1] + 0.5) / 250)


@dataclass(frozen=True)
class _VerticalEdges:
    """Edges of one pixel, in the order of their rows. cols, rows, signs, owners: Each of shape (edges,), int64.

    signs: 1 for an edge that runs down, else -1. owners: The index of the patch.
    """

    cols: np.ndarray
    rows: np.ndarray
    signs: np.ndarray
    owners: np.ndarray

    @classmethod
    def of(cls, geometries: NDArray[np.object_], grid: Grid) -> "_VerticalEdges":
        _, points, (rings, polygons) = shapely.to_ragged_array(shapely.orient_polygons(geometries))
        corners = np.rint(np.column_stack(grid.pixels(*points.T))).astype(np.int64)
        steps = np.diff(corners[:, 1])
        steps[rings[1:-1] - 1] = 0  # from the end of a ring to the next one
        lengths = np.abs(steps)
        first = np.minimum(corners[:-1, 1], corners[1:, 1])
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        ring_of_point = np.repeat(np.arange(len(rings) - 1), np.diff(rings))[:-1]
        owner = np.searchsorted(polygons, ring_of_point, side="right") - 1
        rows = np.repeat(first, lengths) + within
        order = np.argsort(rows, kind="stable")
        columns = (np.repeat(each, lengths)[order] for each in (corners[:-1, 0], np.sign(steps), owner))
        cols, signs, owners = columns
        return cls(cols, rows[order], signs, owners)

    def by_strip(self, strip: int) -> Iterator[tuple[tuple[int, int], "_VerticalEdges"]]:
        """Yield the first and the end row of each strip that has edges, with its edges. strip: Number of its rows."""
        for number in np.unique(self.rows // strip).tolist():
            first, end = number * strip, (number + 1) * strip
            some = slice(*np.searchsorted(self.rows, (first, end)))
            last = int(self.rows[some][-1]) + 1
            yield (first, last), self.among(some)

    def among(self, chosen: NDArray[np.bool_] | slice) -> "_VerticalEdges":
        return _VerticalEdges(self.cols[chosen], self.rows[chosen], self.signs[chosen], self.owners[chosen])

    def sums(self, values: np.ndarray, first: int, count: int) -> np.ndarray:
        """The sums of `values`, shape (rows, cols) from row `first` on, over each of `count` patches, shape (count,).

        All have the same sign, that of the direction of the outlines.
        """
        before = np.zeros((values.shape[0], values.shape[1] + 1), np.int64)
        np.cumsum(values, axis=1, out=before[:, 1:])
        return np.bincount(self.owners, self.signs * before[self.rows - first, self.cols], count)
