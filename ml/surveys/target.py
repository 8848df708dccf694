"""The grid of a mosaic: its CRS, its pixels, and how far it reaches."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyproj
from affine import Affine

from ml.faults import Fault, InputRefused
from ml.geo.areas import pixel_side_m
from ml.geo.crs import crs_name, geod_of, transformer
from ml.geo.grid import Grid

MOST_PX = 10**12
MOST_EMPTY_PX = 10**10  # writing pixels takes as long where no map lies: half an hour for these
LEAST_FILLED = 0.01  # share of a larger mosaic in which maps must lie
TORN = 20  # a map that becomes longer by this factor lies on both edges of the CRS; in degrees it is 19 at 87 north
_DATUM_M = 300.0  # by which two operations between datums may differ
_SNAP_PX = 1e-6  # by which coordinates may miss a line between pixels because of rounding
Bounds = tuple[float, float, float, float]


def target_grid(grids: Sequence[Grid], crs: pyproj.CRS | None = None, resolution_m: float | None = None) -> Grid:
    """The grid of a mosaic of maps with these grids, which holds all of them.

    Its CRS is `crs`, or the commonest of the grids; of several such, that of the first. It continues the pixels of the
    first grid in this CRS, so that the pixels of that map, and of all on the same grid, are copied. If there is no such
    grid, or it is turned, or `resolution_m` is given, pixels are squares that begin at 0, 0 of the CRS, with sides of
    `resolution_m`, or of the ground side of the first grid's pixels.

    resolution_m: Side of a pixel in metres of the CRS; in degrees it is that at the equator.

    Raises:
        InputRefused: not_in_crs if a map cannot be shown in the CRS, mosaic_too_large, maps_far_apart.
    """
    crs = crs or commonest_crs([grid.crs for grid in grids])
    reference = next((grid for grid in grids if grid.crs == crs), None)
    if reference is not None and resolution_m is None and _is_north_up(reference.transform):
        width, _, left, _, height, top = reference.transform[:6]
    else:
        width = (resolution_m or pixel_side_m(reference or grids[0])) / _metres_per_unit(crs)
        left, height, top = 0.0, -width, 0.0
    every = [_bounds_in(grid, crs, width) for grid in grids]
    west, south, east, north = _around(every)
    first_col, end_col = _lines((west - left) / width, (east - left) / width)
    first_row, end_row = _lines((north - top) / height, (south - top) / height)
    rows, cols = end_row - first_row, end_col - first_col
    if rows * cols > MOST_PX:
        detail = f"The mosaic would have {rows:,} x {cols:,} pixels, over {MOST_PX:,}."
        hint = "Name a larger resolution_m, or make several surveys of scenes that lie near each other."
        raise InputRefused(Fault("mosaic_too_large", detail, hint, "/resolution_m"))
    _check_filled(every, rows, cols, abs(width * height))
    placed = Affine(width, 0, left + first_col * width, 0, height, top + first_row * height)
    return Grid(rows, cols, placed, crs)


def _check_filled(every: Sequence[Bounds], rows: int, cols: int, pixel: float) -> None:
    """Raise `InputRefused` with maps_far_apart for a large mosaic that would be empty nearly everywhere.

    every: Bounds of the maps. pixel: Area of a pixel in units of the CRS.
    """
    filled_px = sum((right - left) * (top - bottom) for left, bottom, right, top in every) / pixel
    if rows * cols > MOST_EMPTY_PX and filled_px < LEAST_FILLED * rows * cols:
        detail = f"The mosaic would have {rows:,} x {cols:,} pixels, and maps on less than 1 % of them."
        hint = "Make several surveys of scenes that lie near each other, or name a larger resolution_m or another crs."
        raise InputRefused(Fault("maps_far_apart", detail, hint, "/scenes"))


def commonest_crs(every: Sequence[pyproj.CRS]) -> pyproj.CRS:
    """The CRS that is there most often; of several such, the first."""
    counts = Counter(crs.to_wkt() for crs in every)
    return max(every, key=lambda crs: counts[crs.to_wkt()])


def bounds_on(grid: Grid, target: Grid) -> Bounds:
    """First col, first row, last col and last row of a grid in the pixels of another one, a little too far out."""
    west, south, east, north = _bounds_in(grid, target.crs, abs(target.transform.a))
    cols, rows = target.pixels(np.array([west, east]), np.array([north, south]))
    return float(cols[0]), float(rows[0]), float(cols[1]), float(rows[1])


def _bounds_in(grid: Grid, crs: pyproj.CRS, margin: float) -> Bounds:
    """Left, bottom, right and top of a grid in a CRS. margin: Added where the sides of the grid are curves there."""
    if grid.crs == crs:
        return grid.bounds
    with np.errstate(invalid="ignore"):  # coordinates are infinite where the CRS cannot place them
        x, y = transformer(grid.crs, crs).transform(*grid.outline().T)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        detail = f"A map in {crs_name(grid.crs)} cannot be shown in {crs_name(crs)}."
        raise InputRefused(Fault("not_in_crs", detail, "Name another crs, in which all scenes lie.", "/crs"))
    reach_m = max(np.ptp(x), np.ptp(y)) * _metres_per_unit(crs)
    if reach_m > TORN * pixel_side_m(grid) * math.hypot(grid.rows, grid.cols):
        detail = f"A map in {crs_name(grid.crs)} would be torn in {crs_name(crs)}: it lies on both edges of that CRS."
        hint = "Name another crs: at the meridian of 180 degrees, the zone of UTM of the scenes."
        raise InputRefused(Fault("not_in_crs", detail, hint, "/crs"))
    if grid.crs.geodetic_crs != crs.geodetic_crs:  # GDAL may choose another operation between the datums
        margin += _DATUM_M / _metres_per_unit(crs)
    return float(x.min()) - margin, float(y.min()) - margin, float(x.max()) + margin, float(y.max()) + margin


def _around(every: Sequence[Bounds]) -> Bounds:
    west, south, east, north = np.array(every).T
    return float(west.min()), float(south.min()), float(east.max()), float(north.max())


def _lines(start: float, end: float) -> tuple[int, int]:
    """The lines between pixels that enclose two places, in pixels."""
    return math.floor(start + _SNAP_PX), math.ceil(end - _SNAP_PX)


def _is_north_up(transform: Affine) -> bool:
    return bool(transform.b == transform.d == 0 and transform.a > 0 > transform.e)


def _metres_per_unit(crs: pyproj.CRS) -> float:
    factor = float(crs.axis_info[0].unit_conversion_factor)  # metres, or radians
    return factor * geod_of(crs).a if crs.is_geographic else factor
