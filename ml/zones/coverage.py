"""Which share of each pixel a polygon covers, exactly.

A ring covers what lies to one side of its edges. Each edge is cut at the lines between pixels. A piece of an edge
covers a trapezium of its own pixel and, over the rows that it spans, all pixels to the right of it: edges that run down
add, edges that run up take away. So a polygon is known by its steps, which are the differences between the shares of
neighbours in a row, and these are 0 but where an edge passes. Holes need no other treatment.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon, Polygon

from ml.geo.windows import Window
from ml.labels.repair import edges_of

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Outline:
    """The edges of one zone, or of several pieces of it that do not overlap.

    edges: (col, row) of the start and the end of each edge, in pixels from the corner of the grid, shape (edges, 2, 2),
        float64. The zone lies on the same side of all edges.
    bounds: First col, first row, last col and last row, in pixels.
    """

    edges: Floats
    bounds: tuple[float, float, float, float]

    def touches(self, window: Window) -> bool:
        """Whether the zone can cover something of a window."""
        left, top, right, bottom = self.bounds
        beside = right <= window.col or left >= window.col + window.cols
        return not (beside or bottom <= window.row or top >= window.row + window.rows)

    def steps(self, window: Window) -> tuple[NDArray[np.int64], Floats]:
        """By how much the share of a pixel in a window differs from that of the pixel to the left of it, where it does.

        Returns:
            Places of pixels, row by row, in rows that are one longer than those of the window, and the differences.
            A place may be there several times. Sums along a row are the shares of its pixels.
        """
        edges = self.edges - (window.col, window.row)
        first, last = edges.min(axis=1), edges.max(axis=1)
        hits = (last[:, 1] > 0) & (first[:, 1] < window.rows) & (first[:, 0] < window.cols)
        starts, ends = _pieces(edges[hits], window.rows, window.cols)
        middle, down = (starts + ends) / 2, ends[:, 1] - starts[:, 1]
        x = np.maximum(middle[:, 0], 0)  # what lies to the left of the window covers whole rows
        col = x.astype(np.int64)
        places = middle[:, 1].astype(np.int64) * (window.cols + 1) + col
        beside = down * (x - col)
        return np.concatenate([places, places + 1]), np.concatenate([down - beside, beside])


def outline_of(pieces: list[Polygon | MultiPolygon]) -> Outline:
    """The outline of valid polygons in pixel coordinates, whose outer rings all run one way and whose holes the other.

    They may touch, but not overlap.
    """
    edges = np.concatenate([edges_of(piece) for piece in pieces])
    (left, top), (right, bottom) = edges.min(axis=(0, 1)), edges.max(axis=(0, 1))
    origin = edges[0, 0]
    (x, y), (u, v) = np.moveaxis(edges - origin, (1, 2), (0, 1))
    if (x * v - u * y).sum() > 0:  # the zone lies to the left of its edges
        edges = edges[:, ::-1]
    return Outline(edges, (float(left), float(top), float(right), float(bottom)))


def _pieces(edges: Floats, rows: int, cols: int) -> tuple[Floats, Floats]:
    """Cut edges at the lines between the pixels of a grid, and leave out what lies above, below or to the right of it.

    Returns:
        The starts and the ends of the pieces, each of shape (pieces, 2).
    """
    start, step = edges[:, 0], edges[:, 1] - edges[:, 0]
    cuts = [_crossings(start[:, axis], step[:, axis], most) for axis, most in ((0, cols), (1, rows))]
    every = np.arange(len(edges))
    owner = np.concatenate([every, every, *(owner for owner, _ in cuts)])
    along = np.concatenate([np.zeros(len(edges)), np.ones(len(edges)), *(along for _, along in cuts)])
    order = np.lexsort((along, owner))
    owner, along = owner[order], along[order]
    points = start[owner] + along[:, None] * step[owner]
    same = owner[:-1] == owner[1:]
    starts, ends = points[:-1][same], points[1:][same]
    middle = (starts + ends) / 2
    inside = (middle[:, 1] > 0) & (middle[:, 1] < rows) & (middle[:, 0] < cols)
    return starts[inside], ends[inside]


def _crossings(start: Floats, step: Floats, most: int) -> tuple[NDArray[np.int64], Floats]:
    """Where edges cross the lines 0, 1, ... `most` of one axis.

    start, step: Coordinate of the start of each edge, and by how much the end differs from it.

    Returns:
        The number of the edge of each crossing, and where along it the crossing lies, from 0 to 1.
    """
    low, high = np.minimum(start, start + step), np.maximum(start, start + step)
    first = np.maximum(np.floor(low) + 1, 0).astype(np.int64)
    last = np.minimum(np.ceil(high) - 1, most).astype(np.int64)
    counts = np.maximum(last - first + 1, 0)
    owner = np.repeat(np.arange(len(start)), counts)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    return owner, (first[owner] + number - start[owner]) / step[owner]
