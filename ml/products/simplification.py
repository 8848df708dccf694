"""Simplify the outlines of the patches of a class map, so that neighbours still have the same border.

Simplification removes corners and moves none, so all that must be known of it is which corners stay: a bit for each
corner of the grid, in a file. Blocks of the map find them one after the other, each from all patches in it at once;
what lies on the border of a block stays. A patch is then drawn through those corners of its outline that stay, alone
and without its neighbours, which are drawn through the same corners. So memory does not grow with the map.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import shapes

from ml.contract import MAP_NODATA
from ml.geo.areas import pixel_frame_m
from ml.geo.grid import Grid, grid_of
from ml.geo.raster import open_raster
from ml.geo.watched import ticking
from ml.geo.windows import Window, blocks
from ml.products.polygons import outlines_of, polygons_through
from ml.progress import Tick, still

_BLOCK_PX = 512  # of noise in three classes, one takes 8 s and 300 MB; four times as many pixels take 57 s and 1.2 GB
_UNITS = 1 << 16  # of the side of a pixel, in which GEOS computes

Simplify = Callable[[NDArray[np.object_]], NDArray[np.object_]]


@contextmanager
def simplification(classes: Path, values: Collection[int], simplify_m: float, tick: Tick = still) -> Iterator[Simplify]:
    """Find the corners that stay; yield a function that simplifies some patches, and may be called until the end.

    The patches are those that `patches` traces: polygons in the CRS of the map, shape (n,). Simplified ones are valid,
    and cover no point twice. Each keeps its holes and at least a triangle.

    classes: Path of the class map. values: Class values of the patches. simplify_m: A corner goes if the triangle with
        its neighbours is smaller than the square of this, in metres on the ground. tick: Called at least every second
        or so.

    Raises:
        OSError: The disk is full; the file of the corners needs a bit for each pixel.
    """
    with open_raster(classes) as dataset:
        grid = grid_of(dataset)
    path = classes.with_name(classes.name + ".corners")
    try:
        _find_corners(classes, grid, values, simplify_m, path, tick)
        corners = np.memmap(path, np.uint8, "r", shape=(grid.rows + 1, _row_bytes(grid)))

        def stays(points: np.ndarray) -> np.ndarray:
            col, row = points.T
            return np.asarray(corners[row, col >> 3] >> (7 - (col & 7)) & 1, bool)

        yield lambda geometries: _drawn(geometries, grid, stays)
    finally:
        path.unlink(missing_ok=True)


def _drawn(geometries: NDArray[np.object_], grid: Grid, stays: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    if not len(geometries):
        return geometries
    _, points, (rings, polygons) = shapely.to_ragged_array(geometries)
    corners = np.rint(np.column_stack(grid.pixels(*points.T))).astype(np.int64)
    corners, rings = _through(corners, rings, stays)
    return polygons_through(np.column_stack(grid.xy(*corners.T)), rings, polygons)


def _row_bytes(grid: Grid) -> int:
    return (grid.cols + 1 + 7) // 8


def _find_corners(classes: Path, grid: Grid, values: Collection[int], simplify_m: float, out: Path, tick: Tick) -> None:
    """Write a bit for each corner of the grid, row by row: whether it stays."""
    traced = np.where(np.isin(np.arange(256), list(values)), np.arange(256), MAP_NODATA).astype(np.uint8)
    last = np.zeros((1, grid.cols + 1), bool)
    with open_raster(classes) as source, out.open("wb") as file:
        for rows in blocks(grid.rows, 1, block_px=_BLOCK_PX):
            stay = np.concatenate([last, np.zeros((rows.rows, grid.cols + 1), bool)])
            for cols in blocks(1, grid.cols, block_px=_BLOCK_PX):
                tick()
                block = Window(rows.row, cols.col, rows.rows, cols.cols)
                frame = pixel_frame_m(grid, block.row + block.rows / 2, block.col + block.cols / 2)
                find = partial(_corners_of, traced[source.read(1, window=block.rasterio)], frame, simplify_m)
                stay[:, block.col : block.col + block.cols + 1] |= ticking(find, tick, _BLOCK_PX**2)
            file.write(np.packbits(stay[:-1], axis=1).tobytes())
            last = stay[-1:]
        file.write(np.packbits(last, axis=1).tobytes())


def _corners_of(pixels: np.ndarray, frame: np.ndarray, simplify_m: float) -> np.ndarray:
    """Return which corners of the pixels of a block stay, bool, shape (rows + 1, cols + 1).

    pixels: Shape (rows, cols). frame: See `pixel_frame_m`.
    """
    unit_m = np.abs(frame).max() / _UNITS
    frame = np.rint(frame / unit_m)  # whole numbers: otherwise corners in a line might leave it, and borders touch
    corners = _corners(pixels)
    outlines = outlines_of([geometry for geometry, _ in shapes(pixels, connectivity=4)])
    _, points, (rings, polygons) = shapely.to_ragged_array(outlines)
    # a patch that passes the end of a border between two others gets a corner there, too, as GEOS needs it
    points, rings = _through(points.astype(np.int64), rings, lambda places: corners[places[:, 1], places[:, 0]])
    coverage = polygons_through(points @ frame.T, rings, polygons)
    simplified = shapely.coverage_simplify(coverage, simplify_m / unit_m, simplify_boundary=False)
    cols, rows = np.rint(shapely.get_coordinates(simplified) @ np.linalg.inv(frame).T).astype(np.int64).T
    stay = np.zeros_like(corners)
    stay[rows, cols] = True
    return stay


def _corners(pixels: np.ndarray) -> np.ndarray:
    """Return where the borders in a block turn or meet, bool, (rows + 1, cols + 1). pixels: Shape (rows, cols)."""
    around = np.pad(pixels.astype(np.int16), 1, constant_values=-1)
    up, down = around[:-1, :-1] != around[:-1, 1:], around[1:, :-1] != around[1:, 1:]
    left, right = around[:-1, :-1] != around[1:, :-1], around[:-1, 1:] != around[1:, 1:]
    across, along = left & right & ~up & ~down, up & down & ~left & ~right
    return np.asarray((up | down | left | right) & ~across & ~along)


def _through(
    points: np.ndarray, rings: np.ndarray, chosen: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Walk along rings from pixel to pixel, and return the rings through the chosen ones of all corners passed.

    points: Corners of all closed rings as (col, row), int64, shape (points, 2); the edges follow the pixels. rings:
    Where each ring begins, and the end of the last one. Both are returned in the same form.
    """
    edges = np.diff(points, axis=0)
    lengths = np.abs(edges).sum(axis=1)
    lengths[rings[1:-1] - 1] = 0  # from the end of a ring to the next one
    steps = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    passed = np.repeat(points[:-1], lengths, axis=0) + np.repeat(np.sign(edges), lengths, axis=0) * steps[:, None]
    owners = np.repeat(np.repeat(np.arange(len(rings) - 1), np.diff(rings))[:-1], lengths)
    chosen_ones = chosen(passed)
    passed, ends = passed[chosen_ones], np.cumsum(np.bincount(owners[chosen_ones], minlength=len(rings) - 1))
    starts = np.concatenate([[0], ends])
    return np.insert(passed, ends, passed[starts[:-1]], axis=0), starts + np.arange(len(starts))
