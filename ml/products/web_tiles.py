"""Read map tiles from the bytes of a web COG, without decoding or encoding."""

import mmap
from dataclasses import dataclass
from functools import cached_property
from math import log2
from pathlib import Path

import numpy as np

from ml.geo.raster import open_raster
from ml.geo.windows import Window
from ml.products.web_grid import TILE_PX, WORLD_M
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

    @cached_property
    def window(self) -> Window:
        """The pixels of the largest zoom that enclose all tiles with content; all pixels if every tile is empty."""
        counts = self._levels[self.max_zoom].counts
        rows, cols = np.flatnonzero(counts.any(axis=1)), np.flatnonzero(counts.any(axis=0))
        if not len(rows):
            return Window(0, 0, *(TILE_PX * tiles for tiles in counts.shape))
        extent = rows[0], cols[0], rows[-1] - rows[0] + 1, cols[-1] - cols[0] + 1
        return Window(*(TILE_PX * int(tiles) for tiles in extent))


def preview(tiles: WebTiles, max_size: int) -> np.ndarray:
    """The whole map without empty margins, uint8 RGBA (rows, cols, 4), with sides of at most `max_size` px."""
    window = tiles.window
    shrink = min(1.0, max_size / max(window.rows, window.cols))
    rows, cols = (max(1, round(side * shrink)) for side in (window.rows, window.cols))
    with open_raster(tiles.path) as dataset:
        image: np.ndarray = np.moveaxis(dataset.read(window=window.rasterio, out_shape=(4, rows, cols)), 0, -1)
    visible = image[..., 3] > 0
    if not visible.any():
        return image
    down, across = np.flatnonzero(visible.any(axis=1)), np.flatnonzero(visible.any(axis=0))
    return image[down[0] : down[-1] + 1, across[0] : across[-1] + 1]


def _level(directory: Directory, col: int, row: int) -> _Level:
    sides = (tag.IMAGE_LENGTH, tag.IMAGE_WIDTH)
    shape = tuple(directory.number(side, 0) // TILE_PX for side in sides)
    offsets, counts = (
        directory.array(values).astype(np.int64).reshape(shape) for values in (tag.TILE_OFFSETS, tag.TILE_BYTE_COUNTS)
    )
    return _Level(col, row, offsets, counts)
