"""Write class maps as web COGs: coloured, in Web Mercator, so that each block of the file is a map tile."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import reduce
from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT

from ml.contract import MAP_NODATA
from ml.geo.crs import full_turn
from ml.geo.grid import grid_of
from ml.geo.raster import open_raster
from ml.geo.watched import ticking
from ml.geo.whole_file import verified_whole
from ml.geo.windows import Window, blocks
from ml.products.palette import Rgba
from ml.products.web_grid import CRS, TILE_PX, WebGrid, web_grid
from ml.progress import Tick, still

_STEP_PX = 4 * TILE_PX
_MOST_BYTES = 16  # written for each pixel: four bands twice, even if compression makes them larger, and overviews
# quality 100 is lossless; nearest keeps to the colours of classes
_COG = {
    "driver": "COG",
    "compress": "WEBP",
    "quality": 100,
    "overview_quality": 100,
    "blocksize": TILE_PX,
    "sparse_ok": True,
    "overview_resampling": "nearest",
    "num_threads": "ALL_CPUS",
    "bigtiff": "IF_SAFER",
}


def write_web_cog(classes: Path, out: Path, colours: Mapping[int, Rgba], tick: Tick = still) -> bool:
    """Write a class map (uint8) as a COG of RGBA in EPSG:3857 whose blocks are tiles of 256 x 256 px.

    Blocks are lossless WEBP and coincide with the tiles of GoogleMapsCompatible (WebMercatorQuad). The file itself has
    the zoom whose pixels are nearest in size to those of the map. Its overviews have the smaller zooms, down to one
    where the map is no larger than a tile. Each pixel has the colour of the nearest pixel of the map. Pixels without a
    class in `colours`, or of one whose alpha is 0, are transparent, and tiles of only such pixels are not stored. tick:
    Called at least every second or so.

    Returns:
        False if the map lies beyond the 85th parallels, where the tiles end; then no file is written.
    """
    with open_raster(classes) as source:
        web = web_grid(grid_of(source))
        if web is None:
            return False
        tiles = (web.bottom - web.top) * (web.right - web.left)
        with verified_whole(out, _MOST_BYTES * tiles * TILE_PX**2, tick):
            _write(source, web, out, _table(colours), tick)
    return True


def _write(source: DatasetReader, web: WebGrid, out: Path, table: np.ndarray, tick: Tick) -> None:
    plain = out.with_name(out.name + ".plain")
    shape = {"crs": CRS, "transform": web.transform, "width": web.cols * TILE_PX, "height": web.rows * TILE_PX}
    nodata = {"src_nodata": MAP_NODATA, "nodata": MAP_NODATA}
    with ExitStack() as stack:
        warped = [
            stack.enter_context(WarpedVRT(source, src_transform=placed, **nodata, **shape)) for placed in _turns(source)
        ]
        _colour(warped, web, plain, table, tick)

    def copy() -> None:
        # otherwise GDAL would choose the overviews by itself
        levels = {"overview_count": web.levels} if web.levels else {"overviews": "NONE"}
        with open_raster(plain) as dataset:
            rasterio.shutil.copy(dataset, out, **levels, **_COG)

    ticking(copy, tick, web.rows * web.cols * TILE_PX**2)
    plain.unlink()


def _turns(source: DatasetReader) -> list[Affine]:
    """Return the transforms with which GDAL finds all of a map: it looks for longitudes from -180 to 180 degrees only.

    A map in degrees that goes beyond them must also be found a full turn away.
    """
    grid = grid_of(source)
    turn = full_turn(grid.crs) if grid.crs.is_geographic else None
    left, _, right, _ = grid.bounds
    if turn is None or (-turn / 2 <= left and right <= turn / 2):
        return [source.transform]
    moved = [
        number * turn for number in (-1, 0, 1) if left + number * turn < turn / 2 and right + number * turn > -turn / 2
    ]
    return [Affine.translation(x, 0) @ source.transform for x in moved]


def _colour(warped: Sequence[WarpedVRT], web: WebGrid, plain: Path, table: np.ndarray, tick: Tick) -> None:
    """Write red, green, blue and alpha of the tiles that the scene touches, in windows of 4 x 4 tiles.

    warped: The parts of the map, on the same grid.
    """
    one = warped[0]
    profile = {"crs": one.crs, "transform": one.transform, "width": one.width, "height": one.height}
    tiled = {"tiled": True, "blockxsize": TILE_PX, "blockysize": TILE_PX, "compress": "LZW", "sparse_ok": True}
    bands = {"count": 4, "dtype": "uint8", "photometric": "RGB", "alpha": "yes", "bigtiff": "IF_SAFER"}
    with rasterio.open(plain, "w", driver="GTiff", interleave="pixel", **tiled, **bands, **profile) as file:
        rows, cols = (web.bottom - web.top) * TILE_PX, (web.right - web.left) * TILE_PX
        for window in blocks(rows, cols, block_px=_STEP_PX):
            tick()
            col, row = (web.left - web.col) * TILE_PX + window.col, (web.top - web.row) * TILE_PX + window.row
            place = Window(row, col, window.rows, window.cols).rasterio
            parts = [part.read(1, window=place) for part in warped]
            values = reduce(lambda seen, more: np.where(seen == MAP_NODATA, more, seen), parts)
            if (coloured := table[:, values]).any():
                file.write(coloured, window=place)


def _table(colours: Mapping[int, Rgba]) -> np.ndarray:
    """Red, green, blue and alpha of each class value, uint8 (4, 256)."""
    table = np.zeros((4, 256), dtype=np.uint8)
    for value, colour in colours.items():
        table[:, value] = colour if colour[3] else 0
    return table
