"""The grid of XYZ tiles (WebMercatorQuad) for a scene: its zooms, and the tiles of each zoom."""

from dataclasses import dataclass
from math import ceil, floor, log2

import numpy as np
from affine import Affine
from shapely.geometry import Polygon

from ml.geo.grid import Grid

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


def web_grid(grid: Grid) -> WebGrid | None:
    """The tiles for a scene, or None if it lies beyond the 85th parallels, which the square world leaves out.

    The largest zoom is the one whose pixels are nearest in size to those of the scene. At the smallest one the scene is
    no larger than a tile.
    """
    x, y = world(grid.outline_wgs84)
    pad_x, pad_y = _PAD * np.ptp(x), _PAD * np.ptp(y)
    west, east, north, south = x.min() - pad_x, x.max() + pad_x, max(0.0, y.min() - pad_y), min(1.0, y.max() + pad_y)
    if north >= south:
        return None
    pixel = (Polygon(np.column_stack([x, y])).area / (grid.rows * grid.cols)) ** 0.5
    zoom = min(max(round(-log2(pixel * TILE_PX)), 0), MAX_ZOOM)
    left, top, right, bottom = (edge * 2**zoom for edge in (west, north, east, south))
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
