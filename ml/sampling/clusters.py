"""Draws clusters of pixels: blocks of a map, and some pixels in each."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ml.contract import MAP_NODATA
from ml.faults import Fault, InputRefused
from ml.geo.watched import Through, unwatched
from ml.sampling.design import Frame
from ml.sampling.draw import Ints, Pixels, generator
from ml.sampling.frame import map_grid, windows


@dataclass(frozen=True)
class Clusters:
    """Drawn pixels, cluster by cluster, the clusters in random order.

    cluster: The number of each pixel's cluster, from 1, shape (n,). blocks: How many blocks could have been drawn.
    drawn: How many were.
    """

    pixels: Pixels
    cluster: Ints
    blocks: int
    drawn: int


def draw_clusters(
    classes: Path, side: int, each: int, n: int, frame: Frame, seed: int, through: Through = unwatched
) -> Clusters:
    """Draw blocks at random without replacement, and in each the same number of places; those with a class are points.

    The blocks are squares of a grid that begins at random; those without any class cannot be drawn. Each pixel has the
    same probability: that of its block times `each` / side^2. So blocks at the edge of the data have fewer points, as
    they have less ground (two-stage sampling with equal fractions, Cochran 1977, chapter 10).

    side: Of a block, in pixels. each: Places in a block. n: Number of points wanted; enough blocks are drawn to have
    them, but two at least. Reads the map twice.

    Raises:
        InputRefused: sample_too_large if the map has fewer blocks, or bad_grid if fewer than two have a point.
    """
    grid, random = map_grid(classes), generator(frame, seed)
    start = random.integers(side, size=2)
    across = (grid.cols - 1 + int(start[1])) // side + 1
    occupied = np.flatnonzero(_occupied(classes, side, start, across, through))
    wanted = max(2, -(-n // each))
    if wanted > len(occupied):
        detail = f"The map has {len(occupied)} blocks of {side} x {side} pixels, and {wanted} are asked for."
        hint = "Ask for fewer points, for more in each cluster, or for smaller clusters."
        raise InputRefused(Fault("sample_too_large", detail, hint, "/design"))
    chosen = random.permutation(occupied)[:wanted]
    places = np.concatenate([random.choice(side * side, each, replace=False) for _ in chosen])
    block = np.repeat(chosen, each)
    rows = block // across * side + places // side - start[0]
    cols = block % across * side + places % side - start[1]
    values = map_values(classes, rows, cols, through)
    there = values != MAP_NODATA
    numbers = np.repeat(np.arange(1, wanted + 1), each)[there]
    if len(np.unique(numbers)) < 2:
        hint = "Ask for more points, or take another seed."
        raise InputRefused(Fault("bad_grid", "Fewer than two clusters have a point with a class.", hint, "/design/n"))
    found = Pixels(rows[there], cols[there], values[there].astype(np.int64))
    return Clusters(found, numbers, len(occupied), wanted)


def _occupied(classes: Path, side: int, start: Ints, across: int, through: Through) -> np.ndarray:
    """Whether each block has a pixel with a class, shape (blocks,), bool."""
    grid = map_grid(classes)
    found = np.zeros(((grid.rows - 1 + int(start[0])) // side + 1) * across, dtype=bool)
    for window, image in windows(classes, through):
        row, col = np.nonzero(image != MAP_NODATA)
        found[(row + window.row + start[0]) // side * across + (col + window.col + start[1]) // side] = True
    return found


def map_values(classes: Path, rows: Ints, cols: Ints, through: Through = unwatched) -> np.ndarray:
    """The classes of some pixels, `MAP_NODATA` for those beside the map, uint8, in the shape of `rows`."""
    found = np.full(rows.shape, MAP_NODATA, np.uint8)
    for window, image in windows(classes, through):
        row, col = rows - window.row, cols - window.col
        here = (row >= 0) & (row < window.rows) & (col >= 0) & (col < window.cols)
        found[here] = image[row[here], col[here]]
    return found
