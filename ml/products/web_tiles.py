"""Read map tiles from the bytes of a web COG, without decoding or encoding."""

import mmap
from dataclasses import dataclass
from math import ceil, floor, log2
from pathlib import Path

import numpy as np

from ml.geo.grid import Box
from ml.geo.raster import open_raster
from ml.geo.windows import Window
from ml.products.web_grid import TILE_PX, WORLD_M, WorldBox, world
from ml.scenes import tiff_directories as tag
from ml.scenes.tiff_directories import Directory, directories


@dataclass(frozen=True)
class _Level:
    """The tiles of one zoom in the file.

    col, row: Column and row of the first tile. offsets, counts: Position and number of the bytes of each tile, int64
    (rows, cols); 0 for an empty tile.
    """

    col: int
    row: int
    offsets: np.ndarray
    counts: np.ndarray

    def find(self, col: int, row: int) -> tuple[int, int]:
        """Position and number of the bytes of a tile, counted from the first tile; (0, 0) outside the level."""
        rows, cols = self.offsets.shape
        if not (0 <= row < rows and 0 <= col < cols):
            return 0, 0
        return int(self.offsets[row, col]), int(self.counts[row, col])


class WebTiles:
    """A file that `ml.products.web_cog.write_web_cog` wrote, open for reading by any number of threads.

    The file is mapped into memory. It is closed when this object is deleted, and may be removed from disk before.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with open_raster(path) as dataset:
            left, top, tile_m = dataset.transform.c, dataset.transform.f, dataset.transform.a * TILE_PX
        self.max_zoom = round(log2(WORLD_M / tile_m))
        col, row = round((left + WORLD_M / 2) / tile_m), round((WORLD_M / 2 - top) / tile_m)
        with path.open("rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            found = enumerate(directories(file, path.stat().st_size))
            self._levels = {self.max_zoom - up: _level(each, col >> up, row >> up) for up, each in found}
        self.min_zoom = min(self._levels)

    def read(self, zoom: int, col: int, row: int) -> bytes | None:
        """The tile zoom/col/row of WebMercatorQuad as a WEBP file, 256 x 256 px RGBA, or None if the tile is empty."""
        level = self._levels.get(zoom)
        if level is None:
            return None
        for beyond in (0, -(1 << zoom), 1 << zoom):  # a map may extend across the date line
            offset, count = level.find(col + beyond - level.col, row - level.row)
            if count:
                return self._bytes[offset : offset + count]
        return None

    def window(self, box: Box) -> Window:
        """The pixels of the largest zoom inside a box: west, south, east and north in degrees.

        What the box has beyond the tiles of the map is left out; of a box beside them all pixels are.
        """
        level = self._levels[self.max_zoom]
        rows, cols = level.offsets.shape
        west, south, east, north = box
        lon, lat = np.array([west, east + 360 * (east < west)]), np.array([north, south])
        side = TILE_PX << self.max_zoom
        x, y = (side * part for part in world(np.column_stack([lon, lat])))
        x -= TILE_PX * level.col
        x += side * np.round((TILE_PX * cols / 2 - x.mean()) / side)  # columns continue across the date line
        y -= TILE_PX * level.row
        left, right = np.clip([floor(x[0]), ceil(x[1])], 0, TILE_PX * cols).tolist()
        top, bottom = np.clip([floor(y[0]), ceil(y[1])], 0, TILE_PX * rows).tolist()
        if left >= right or top >= bottom:
            return Window(0, 0, TILE_PX * rows, TILE_PX * cols)
        return Window(top, left, bottom - top, right - left)

    def world_box(self, window: Window) -> WorldBox:
        """Where some pixels of the largest zoom lie in the square world."""
        level, side = self._levels[self.max_zoom], TILE_PX << self.max_zoom
        west, north = TILE_PX * level.col + window.col, TILE_PX * level.row + window.row
        return WorldBox(west / side, north / side, (west + window.cols) / side, (north + window.rows) / side)


def preview(tiles: WebTiles, max_size: int, box: Box) -> np.ndarray:
    """The map inside a box in degrees, uint8 RGBA (rows, cols, 4), with sides of at most `max_size` px."""
    window = tiles.window(box)
    shrink = min(1.0, max_size / max(window.rows, window.cols))
    rows, cols = (max(1, round(side * shrink)) for side in (window.rows, window.cols))
    with open_raster(tiles.path) as dataset:
        image: np.ndarray = np.moveaxis(dataset.read(window=window.rasterio, out_shape=(4, rows, cols)), 0, -1)
    return image


def _level(directory: Directory, col: int, row: int) -> _Level:
    sides = (tag.IMAGE_LENGTH, tag.IMAGE_WIDTH)
    shape = tuple(directory.number(side, 0) // TILE_PX for side in sides)
    offsets, counts = (
        directory.array(values).astype(np.int64).reshape(shape) for values in (tag.TILE_OFFSETS, tag.TILE_BYTE_COUNTS)
    )
    return _Level(col, row, offsets, counts)
