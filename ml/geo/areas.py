"""Hectares on the ground, for any CRS.

The area of a pixel is the area of its parallelogram on the ellipsoid of the CRS, as a surveyor would measure it, not
its area in the map projection. So areas are correct for degrees, feet and rotated grids. They are also correct for
Web Mercator, in whose plane squares are 4 times too large at 60 degrees, and for UTM, whose plane is wrong by up to
0.2 %.
"""

from itertools import pairwise

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from ml.geo.crs import geod_of, transformer
from ml.geo.grid import Grid
from ml.geo.windows import Window

HECTARE_M2 = 10_000


def pixel_area_ha(grid: Grid, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """Return the ground area of pixels in hectares, float64, in the shape of `rows`.

    rows, cols: Centres of the pixels, in pixels from the corner of the grid; the first pixel has (0.5, 0.5).
    """
    geodetic = grid.crs.geodetic_crs
    to_lonlat = transformer(grid.crs, geodetic)
    radians = [np.radians(to_lonlat.transform(*grid.xy(cols + c, rows + r))) for c, r in _CROSS]
    (left, right, top, bottom) = radians
    along, down = right - left, bottom - top
    along[0], down[0] = (np.mod(step[0] + np.pi, 2 * np.pi) - np.pi for step in (along, down))
    latitude = (left[1] + right[1]) / 2
    square_m2 = np.abs(along[0] * down[1] - along[1] * down[0]) * _square_radian_m2(grid, latitude)
    return np.asarray(square_m2 / HECTARE_M2)


# (col, row) offsets from a pixel's centre to the middles of its left, right, upper and lower sides
_CROSS = ((-0.5, 0), (0.5, 0), (0, -0.5), (0, 0.5))


def _square_radian_m2(grid: Grid, latitude: np.ndarray) -> np.ndarray:
    """Return the ground area of one radian x one radian at a latitude in radians, in square metres.

    It is the radius of curvature of the meridian times the radius of the parallel.
    """
    geod = geod_of(grid.crs)
    w2 = 1 - geod.es * np.sin(latitude) ** 2
    return np.asarray(geod.a**2 * (1 - geod.es) * np.cos(latitude) / w2**2)


def row_area_ha(grid: Grid, window: Window) -> np.ndarray:
    """Return the ground area of the middle pixel of each row of a window, in hectares, shape (rows,), float64."""
    rows = window.row + 0.5 + np.arange(window.rows)
    return pixel_area_ha(grid, rows, np.full(window.rows, window.col + window.cols / 2))


def polygon_area_ha(geometries: NDArray[np.object_], crs: pyproj.CRS) -> NDArray[np.float64]:
    """Return the ground area of polygons and multipolygons without their holes, in hectares, shape (n,).

    Edges are Karney's geodesics from corner to corner. The direction of rings does not matter. Empty geometries have
    an area of 0.

    geometries: shapely geometries in `crs`, shape (n,).
    """
    if not len(geometries):  # shapely cannot find the geometry type of an empty array
        return np.zeros(0)
    _, points, (rings, polygons, *multipolygons) = shapely.to_ragged_array(geometries)
    lon, lat = transformer(crs, crs.geodetic_crs).transform(*points.T)
    geod = geod_of(crs)
    areas_m2 = np.abs([geod.polygon_area_perimeter(lon[a:b], lat[a:b])[0] for a, b in pairwise(rings)])
    outer = np.isin(np.arange(len(areas_m2)), polygons)  # the first ring of a polygon; the others are holes
    ends = polygons[multipolygons[0]] if multipolygons else polygons
    owners = np.repeat(np.arange(len(geometries)), np.diff(ends))
    return np.bincount(owners, np.where(outer, areas_m2, -areas_m2), len(geometries)) / HECTARE_M2


def count_by_class(
    values: np.ndarray, area_ha: np.ndarray, where: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of pixels, (256,), int64, and the hectares, (256,), float64, of each value in a window.

    values: Pixels of the window, shape (rows, cols), uint8.
    area_ha: Ground area of one pixel in each row, in hectares, shape (rows,).
    where: Pixels to count, shape (rows, cols), bool; by default all pixels.
    """
    by_row = np.arange(values.shape[0])[:, None] * 256 + values
    counted = by_row.ravel() if where is None else by_row[where]
    counts = np.bincount(counted, minlength=values.shape[0] * 256).reshape(-1, 256)
    return counts.sum(axis=0), area_ha @ counts
