"""Hectares on the ground, for any CRS.

The area of a pixel is the area of its parallelogram on the ellipsoid of the CRS, as a surveyor would measure it, not
its area in the map projection. So areas are correct for degrees, feet and rotated grids. They are also correct for
Web Mercator, in whose plane squares are 4 times too large at 60 degrees, and for UTM, whose plane is wrong by up to
0.2 %.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from ml.geo.crs import geod_of, lonlat
from ml.geo.grid import Grid
from ml.geo.windows import Window

HECTARE_M2 = 10_000
PLANE_ERROR = 0.002  # lengths in the plane of UTM are wrong by up to this share
EDGE_M = 1000.0
_FEW_POINTS = 100_000


def pixel_area_ha(grid: Grid, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """Return the ground area of pixels in hectares, float64, in the shape of `rows`.

    rows, cols: Centres of the pixels, in pixels from the corner of the grid; the first pixel has (0.5, 0.5).
    """
    left, right, top, bottom = (_on_ellipsoid(grid, cols + col, rows + row) for col, row in _CROSS)
    normal = np.cross(right - left, bottom - top)
    return np.asarray(np.sqrt((normal**2).sum(axis=-1)) / HECTARE_M2)


def pixel_frame_m(grid: Grid, row: float, col: float) -> np.ndarray:
    """Return the matrix, (2, 2), that turns steps of (cols, rows) around a place into metres on the ground.

    Its frame is flat: x runs along the rows of the grid, y at right angles to them.

    row, col: The place, in pixels from the corner of the grid.
    """
    left, right, top, bottom = (
        _on_ellipsoid(grid, np.array(col + east), np.array(row + south)) for east, south in _CROSS
    )
    across, down = right - left, bottom - top
    width = np.linalg.norm(across)
    along = down @ across / width
    return np.array([[width, along], [0, np.sqrt(down @ down - along**2)]])


def pixel_sides_m(grid: Grid) -> tuple[float, float]:
    """Return height and width on the ground of the pixel in the middle of a grid, in metres."""
    col, row = np.array([grid.cols / 2]), np.array([grid.rows / 2])
    left, right, top, bottom = (_on_ellipsoid(grid, col + right, row + down) for right, down in _CROSS)
    return float(np.linalg.norm(bottom - top)), float(np.linalg.norm(right - left))


def pixel_side_m(grid: Grid) -> float:
    """Return the side of a square as large as the grid's middle pixel on the ground, in metres."""
    return float(np.sqrt(pixel_area_ha(grid, np.array(grid.rows / 2), np.array(grid.cols / 2)) * HECTARE_M2))


def straight_px(grid: Grid) -> float:
    """Return how many pixels long an edge may be that is straight on the grid, when it is drawn in another CRS.

    A straight line in one CRS is a curve in another, and the more so the nearer a pole is. The middle of such an edge
    leaves the curve by 1 % of a pixel.
    """
    if grid.pole is not None:
        return 1.0
    steepest = np.tan(np.radians(np.minimum(np.abs(grid.outline_wgs84[:, 1]), 89.99)).max())
    return max(1.0, float(np.sqrt(8 * geod_of(grid.crs).a / max(1, steepest) * 0.01 / pixel_side_m(grid))))


# (col, row) offsets from a pixel's centre to the middles of its left, right, upper and lower sides
_CROSS = ((-0.5, 0), (0.5, 0), (0, -0.5), (0, 0.5))


def _on_ellipsoid(grid: Grid, cols: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return places of a grid as x, y, z from the centre of the Earth in metres, shape (..., 3), float64.

    Unlike differences of longitudes, differences of these have no gap at the date line and none at the poles.
    """
    lon, lat = map(np.radians, lonlat(grid.crs, *grid.xy(cols, rows)))
    geod = geod_of(grid.crs)
    normal_m = geod.a / np.sqrt(1 - geod.es * np.sin(lat) ** 2)
    level = normal_m * np.cos(lat)
    return np.stack([level * np.cos(lon), level * np.sin(lon), normal_m * (1 - geod.es) * np.sin(lat)], axis=-1)


@dataclass(frozen=True)
class PixelAreas:
    """Ground areas of the pixels of a window. All pixels of a tile have the area of its middle.

    shape: Rows and columns of the window.
    tile: Rows and columns of a tile; the tiles at the right and lower edges are smaller.
    area_ha: Hectares of one pixel in each tile, shape (tiles down, tiles across), float64.
    """

    shape: tuple[int, int]
    tile: tuple[int, int]
    area_ha: np.ndarray

    def tiles(self) -> np.ndarray:
        """Return the number of the tile of each pixel, row by row, shape (rows, cols), int64."""
        down, across = (np.arange(size) // side for size, side in zip(self.shape, self.tile, strict=True))
        return np.asarray(down[:, None] * self.area_ha.shape[1] + across)

    def full(self) -> np.ndarray:
        """Return the area of each pixel in hectares, shape (rows, cols), float64."""
        return self.area_ha if self.tile == (1, 1) else np.asarray(self.area_ha.ravel()[self.tiles()])


def window_areas(grid: Grid, window: Window) -> PixelAreas:
    """Return the ground areas of the pixels of a window, each wrong by 1e-5 at most.

    Tiles are as large as the areas of neighbouring pixels allow: 128 pixels wide in UTM with 10 m, whole rows in
    degrees, single pixels near a pole.
    """
    tile = tuple(_tile_side(slope) for slope in _slopes(grid, window))
    down, across = (_middles(size, side) for size, side in zip((window.rows, window.cols), tile, strict=True))
    if len(down) * len(across) > _MOST_TILES:
        tile, down, across = (1, 1), np.arange(window.rows) + 0.5, np.arange(window.cols) + 0.5
    places = np.meshgrid(window.row + down, window.col + across, indexing="ij")
    return PixelAreas((window.rows, window.cols), (tile[0], tile[1]), pixel_area_ha(grid, *places))


_SIDES_PX = (1024, 256, 128, 64, 32, 16, 8, 4, 2)
_MOST_TILES = 4096  # counting by more of them would be slower than adding the pixels one by one
_LARGEST_STEP = 2e-5  # between the areas of neighbouring tiles, as a share
_SAMPLED = 5  # pixels compared along each side of a window


def _tile_side(slope: float) -> int:
    return next((side for side in _SIDES_PX if side * slope < _LARGEST_STEP), 1)


def _slopes(grid: Grid, window: Window) -> Iterator[float]:
    """Yield by what share the area of a pixel differs from the next one's, at most: down the rows, along the columns.

    A few pixels of the window are compared.
    """
    rows, cols = (np.linspace(0.5, size - 0.5, _SAMPLED) for size in (window.rows, window.cols))
    area_ha = pixel_area_ha(grid, *np.meshgrid(window.row + rows, window.col + cols, indexing="ij"))
    for areas, places in ((area_ha, rows), (area_ha.T, cols)):
        apart_px = max(np.ptp(places), 1) / (_SAMPLED - 1)
        yield float(np.abs(areas[1:] / areas[:-1] - 1).max() / apart_px)


def _middles(size: int, tile_px: int) -> np.ndarray:
    """Return the middles of the tiles along `size` pixels, in pixels."""
    starts = np.arange(0, size, tile_px)
    return np.asarray((starts + np.minimum(starts + tile_px, size)) / 2)


def polygon_area_ha(geometries: NDArray[np.object_], crs: pyproj.CRS) -> NDArray[np.float64]:
    """Return the ground area of polygons and multipolygons without their holes, in hectares, shape (n,).

    Edges are straight in x and y of the CRS, as they are when the polygons are rasterised: long ones are followed
    along Karney's geodesics of about a kilometre each. The direction of rings does not matter. Empty geometries have
    an area of 0.

    geometries: shapely geometries in `crs`, shape (n,).
    """
    if not len(geometries):  # shapely cannot find the geometry type of an empty array
        return np.zeros(0)
    _, points, (rings, polygons, *multipolygons) = shapely.to_ragged_array(with_short_edges(geometries, crs))
    lon, lat = lonlat(crs, *points.T)
    areas_m2 = _rings_m2(geod_of(crs), lon, lat, rings)
    outer = np.isin(np.arange(len(areas_m2)), polygons)  # the first ring of a polygon; the others are holes
    ends = polygons[multipolygons[0]] if multipolygons else polygons
    owners = np.repeat(np.arange(len(geometries)), np.diff(ends))
    return np.bincount(owners, np.where(outer, areas_m2, -areas_m2), len(geometries)) / HECTARE_M2


def _rings_m2(geod: pyproj.Geod, lon: np.ndarray, lat: np.ndarray, rings: np.ndarray) -> np.ndarray:
    """Return the areas of rings in square metres, shape (rings,).

    Karney's areas are exact to some 0.1 mm2 for any ring, which is too little for pixels of a centimetre. Small rings
    are measured in an equal-area projection, where they are nearly straight.

    lon, lat: Corners of all rings, in degrees. rings: Where each ring begins, and the end of the last one.
    """
    first = rings[:-1]
    x = np.radians(lon - np.repeat(lon[first], np.diff(rings)))
    y = _authalic(geod, lat)
    y = y - np.repeat(y[first], np.diff(rings))
    twice = np.append(x[:-1] * y[1:] - x[1:] * y[:-1], 0)
    twice[rings[1:] - 1] = 0  # between the last corner of a ring and the first one of the next ring
    areas_m2 = np.abs(np.add.reduceat(twice, first)) * geod.a**2 / 4
    extent = np.maximum(np.maximum.reduceat(np.abs(x), first), np.maximum.reduceat(np.abs(y), first)) * geod.a
    for number in np.flatnonzero(extent > _SMALL_M).tolist():
        corners = slice(rings[number], rings[number + 1])
        areas_m2[number] = abs(geod.polygon_area_perimeter(lon[corners], lat[corners])[0])
    return areas_m2


_SMALL_M = 30


def _authalic(geod: pyproj.Geod, lat: np.ndarray) -> np.ndarray:
    """Return q of latitudes: a^2 / 2 times it is the area between the equator and a parallel, for each radian."""
    sine, e2 = np.sin(np.radians(lat)), max(geod.es, 1e-20)
    return np.asarray((1 - e2) * (sine / (1 - e2 * sine**2) + np.arctanh(np.sqrt(e2) * sine) / np.sqrt(e2)))


def with_short_edges(
    geometries: NDArray[np.object_], crs: pyproj.CRS, edge_m: float = EDGE_M, more_points: int = _FEW_POINTS
) -> NDArray[np.object_]:
    """Return the geometries with points along all edges that are longer than about a kilometre.

    The number of points grows at most threefold, and by `more_points`: where it would grow more, edges stay longer.

    edge_m: Another length than a kilometre, in metres.
    """
    unit_m = crs.axis_info[0].unit_conversion_factor * (geod_of(crs).a if crs.is_geographic else 1)
    lengths = shapely.length(geometries)
    longest = max(edge_m / unit_m, lengths.sum() / (2 * shapely.get_num_coordinates(geometries).sum() + more_points))
    long = lengths > 2 * longest
    result = geometries.copy()
    result[long] = shapely.segmentize(geometries[long], longest)
    return result


def count_by_class(
    values: np.ndarray, areas: PixelAreas, where: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of pixels, (256,), int64, and the hectares, (256,), float64, of each value in a window.

    values: Pixels of the window, shape (rows, cols), uint8.
    areas: Ground areas of the pixels.
    where: Pixels to count, shape (rows, cols), bool; by default all pixels.
    """
    if areas.tile == (1, 1):
        counted, area_ha = (values, areas.area_ha) if where is None else (values[where], areas.area_ha[where])
        return np.bincount(counted.ravel(), minlength=256), np.bincount(counted.ravel(), area_ha.ravel(), 256)
    by_tile = areas.tiles() * 256 + values
    counted = by_tile.ravel() if where is None else by_tile[where]
    counts = np.bincount(counted, minlength=areas.area_ha.size * 256).reshape(-1, 256)
    return counts.sum(axis=0), areas.area_ha.ravel() @ counts
