"""The grid of XYZ tiles (WebMercatorQuad) for a scene: its zooms, and the tiles of each zoom."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, floor, log2

import numpy as np
from affine import Affine
from shapely.geometry import Polygon

from ml.geo.grid import Box, Grid
from ml.scenes.inspect import SceneInfo

TILE_PX = 256
MAX_ZOOM = 24
CRS = "EPSG:3857"
WORLD_M = 2 * 20037508.342789244  # side of the square world, 2 pi times the radius at the equator
_NORTHMOST = 85.05112877980659  # degrees, where the square world ends
_PAD = 0.002  # share of the scene's extent: between the points of its outline, the edges are curves


@dataclass(frozen=True)
class WebGrid:
    """Tiles of a scene at its largest zoom, and the tiles that cover them at smaller zooms.

    zoom: Largest zoom. levels: Number of smaller zooms. left, top, right, bottom: Range of tiles of `zoom` that the
    scene touches; right and bottom are exclusive. Columns continue across the date line, below 0 or from 2^zoom on.

    The web COG has the tiles [col, col + cols) x [row, row + rows). These four numbers are multiples of 2^levels, so
    that the tiles of every zoom are complete.
    """

    zoom: int
    levels: int
    left: int
    top: int
    right: int
    bottom: int

    @property
    def col(self) -> int:
        """Column of the first tile of the web COG at `zoom`."""
        return self.left >> self.levels << self.levels

    @property
    def row(self) -> int:
        """Row of the first tile of the web COG at `zoom`."""
        return self.top >> self.levels << self.levels

    @property
    def cols(self) -> int:
        """Number of columns of tiles at `zoom`."""
        return (-(-self.right >> self.levels) << self.levels) - self.col

    @property
    def rows(self) -> int:
        """Number of rows of tiles at `zoom`."""
        return (-(-self.bottom >> self.levels) << self.levels) - self.row

    @property
    def transform(self) -> Affine:
        """The affine transform from (col, row) of a pixel at `zoom` to x, y in EPSG:3857."""
        metres = WORLD_M / 2**self.zoom
        return Affine(
            metres / TILE_PX, 0, self.col * metres - WORLD_M / 2, 0, -metres / TILE_PX, WORLD_M / 2 - self.row * metres
        )

    def touches(self, zoom: int, col: int, row: int) -> bool:
        """Whether the scene touches a tile of any zoom. Columns count from 0, also beyond the date line."""
        side = 2.0 ** (self.zoom - zoom)  # of the tile, in tiles of the largest zoom
        in_rows = row * side < self.bottom and self.top < (row + 1) * side
        turns = (turn * 2.0**self.zoom for turn in (-1, 0, 1))
        in_cols = any(col * side + turn < self.right and self.left < (col + 1) * side + turn for turn in turns)
        return in_rows and in_cols


@dataclass(frozen=True)
class WorldBox:
    """A rectangle of the square world, from 0 at its north-western corner to 1.

    west, east: May lie beyond 0 and 1 at the date line. Of a scene, the box is a little larger than its outline.
    """

    west: float
    north: float
    east: float
    south: float


def world_box(box: Box) -> WorldBox | None:
    """The box around a scene in the square world; None if it lies beyond the 85th parallels, where no tiles are.

    box: That of the scene: west, south, east and north in degrees; west is larger than east across the date line.
    """
    west, south, east, north = box
    x, y = world(np.array([[west, north], [east + 360 * (east < west), south]]))
    pad_x, pad_y = _PAD * np.ptp(x), _PAD * np.ptp(y)
    found = WorldBox(x[0] - pad_x, max(0.0, y[0] - pad_y), x[1] + pad_x, min(1.0, y[1] + pad_y))
    return found if found.north < found.south else None


def web_grid(grid: Grid) -> WebGrid | None:
    """The tiles for a scene, or None if it lies beyond the 85th parallels, which the square world leaves out.

    The largest zoom is the one whose pixels are nearest in size to those of the scene. At the smallest one the scene is
    no larger than a tile.
    """
    outline = grid.outline_wgs84
    (west, south), (east, north) = outline.min(axis=0), outline.max(axis=0)
    return _covering((west, south, east, north), _world_area(outline) / (grid.rows * grid.cols))


def web_grid_of(info: SceneInfo) -> WebGrid | None:
    """The tiles for a scene, as `web_grid` finds them, from what its inspection has found: no file is opened."""
    area = sum(_world_area(np.array(ring)) for ring in _outlines(info))
    return _covering(info.bbox, area / (info.rows * info.cols))


def _outlines(info: SceneInfo) -> Iterator[list[list[float]]]:
    """The outer ring of each part of a footprint, which is cut at the date line."""
    coordinates = info.footprint["coordinates"]
    for rings in coordinates if info.footprint["type"] == "MultiPolygon" else [coordinates]:
        yield rings[0]


def _world_area(outline: np.ndarray) -> float:
    """The area in the square world of a ring of longitudes and latitudes (n, 2)."""
    return float(Polygon(np.column_stack(world(outline))).area)


def _covering(box: Box, pixel_area: float) -> WebGrid | None:
    """The tiles that cover a box. pixel_area: of a pixel of the scene, in the square world."""
    found = world_box(box)
    if found is None:
        return None
    zoom = min(max(round(-log2(pixel_area**0.5 * TILE_PX)), 0), MAX_ZOOM)
    left, top, right, bottom = (edge * 2**zoom for edge in (found.west, found.north, found.east, found.south))
    left, top, right, bottom = floor(left), floor(top), ceil(right), ceil(bottom)
    levels = min(zoom, ceil(log2(max(right - left, bottom - top))))
    return WebGrid(zoom, levels, left, top, right, bottom)


def world(lonlat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Longitudes and latitudes (n, 2) as x and y in the square world, from 0 at its north-western corner to 1.

    x is continuous across the date line.
    """
    lon, lat = lonlat.T
    latitude = np.radians(np.clip(lat, -_NORTHMOST, _NORTHMOST))
    return lon / 360 + 0.5, 0.5 - np.arcsinh(np.tan(latitude)) / (2 * np.pi)


def lonlat(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Longitudes and latitudes of places in the square world. This is the inverse of `world`."""
    return (x - 0.5) * 360, np.degrees(np.arctan(np.sinh((1 - 2 * y) * np.pi)))
