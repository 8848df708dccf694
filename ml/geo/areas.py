"""Hectares on the ground, for any CRS.

A pixel's area is that of its parallelogram on the ellipsoid of its CRS: what a surveyor measures, not what a map
projection makes of it. So degrees, feet, turned grids and Web Mercator (whose squares are 4 times too large at 60
degrees) all come out right, and UTM loses its up to 0.2 %.
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
    """Ground area of pixels, in hectares, float64 of the shape of `rows`.

    rows, cols: centres of the pixels, counted in pixels from the grid's corner: the first one lies at (0.5, 0.5).
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


_CROSS = ((-0.5, 0), (0.5, 0), (0, -0.5), (0, 0.5))


def _square_radian_m2(grid: Grid, latitude: np.ndarray) -> np.ndarray:
    """Ground area of one radian x one radian: radius of the meridian x radius of the parallel, in square metres."""
    geod = geod_of(grid.crs)
    w2 = 1 - geod.es * np.sin(latitude) ** 2
    return np.asarray(geod.a**2 * (1 - geod.es) * np.cos(latitude) / w2**2)


def row_area_ha(grid: Grid, window: Window) -> np.ndarray:
    """Ground area of one pixel in each row of a window, taken at its middle column: hectares, float64 (rows,)."""
    rows = window.row + 0.5 + np.arange(window.rows)
    return pixel_area_ha(grid, rows, np.full(window.rows, window.col + window.cols / 2))


def polygon_area_ha(geometries: NDArray[np.object_], crs: pyproj.CRS) -> NDArray[np.float64]:
    """Ground area of polygons and multipolygons (n,) in `crs`, less their holes, in hectares (n,); an empty one has 0.

    By Karney's geodesics from corner to corner. Rings may run either way.
    """
    if not len(geometries):  # shapely cannot tell what kind they are
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
    """Pixels, int64 (256,), and hectares, float64 (256,), of each value of a uint8 window (rows, cols).

    area_ha: of one pixel in each row, (rows,). where: the pixels to count, bool (rows, cols); by default all.
    """
    by_row = np.arange(values.shape[0])[:, None] * 256 + values
    counted = by_row.ravel() if where is None else by_row[where]
    counts = np.bincount(counted, minlength=values.shape[0] * 256).reshape(-1, 256)
    return counts.sum(axis=0), area_ha @ counts
