"""Merge small patches of a class map into their neighbours, before the map is turned into polygons."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from pathlib import Path

import numpy as np
import rasterio
from rasterio.features import sieve

from ml.contract import MAP_NODATA
from ml.geo.areas import HECTARE_M2, pixel_side_m
from ml.geo.grid import grid_of
from ml.geo.raster import open_raster
from ml.geo.watched import ticking
from ml.geo.whole_file import verified_whole
from ml.geo.windows import Window, blocks
from ml.progress import Tick, still

_ROWS = 512  # that are read or written at once
_MOST_PASSES = 20  # noise in three classes needs four
_NEARLY = 0.995  # of a pixel: 0.04 ha are four pixels of ten metres, also where UTM makes these a little small


def least_pixels(classes: Path, mmu_ha: float) -> int:
    """The smallest number of pixels that have `mmu_ha` hectares, as large as the one in the middle of the map."""
    with open_raster(classes) as dataset:
        pixel_ha = pixel_side_m(grid_of(dataset)) ** 2 / HECTARE_M2
    return max(1, ceil(_NEARLY * mmu_ha / pixel_ha))


@contextmanager
def merged(classes: Path, least_px: int, tick: Tick = still) -> Iterator[Path]:
    """Merge each patch of fewer than `least_px` pixels into the largest patch beside it; yield the path of such a map.

    So a small hole in a patch is filled, too. A patch that has only nodata around it stays: no pixel gains or loses
    a class. The map is sieved by GDAL until nothing changes any more, in two files of a byte for each pixel, so memory
    grows with the patches and not with the map. Without anything to merge, the path is that of the map itself.

    classes: Path of the uint8 class map. tick: Called at least every second or so.

    Raises:
        OSError: The disk is full.
    """
    if least_px == 1:
        yield classes
        return
    values, valid, out = (classes.with_name(f"{classes.name}.{name}") for name in ("values", "valid", "merged"))
    try:
        _unpack(classes, values, valid, tick)
        with open_raster(classes) as dataset:
            shape = dataset.shape
        pixels = np.memmap(values, np.uint8, "r+", shape=shape)  # in place: writing takes no more room on the disk
        mask = np.memmap(valid, np.uint8, "r", shape=shape)

        def sieved() -> int:
            sieve(pixels, least_px, out=pixels, mask=mask)
            return zlib.crc32(pixels.data)

        last = None
        for _ in range(_MOST_PASSES):
            if last == (last := ticking(sieved, tick, pixels.size)):
                break
        _write(pixels, classes, out, tick)
        yield out
    finally:
        for path in (values, valid, out):
            path.unlink(missing_ok=True)


def _unpack(classes: Path, values: Path, valid: Path, tick: Tick) -> None:
    """Write the pixels of a map to `values`, row by row, and to `valid` whether each has a class."""
    with open_raster(classes) as source, values.open("wb") as of_values, valid.open("wb") as of_valid:
        for window in _strips(*source.shape):
            tick()
            pixels = source.read(1, window=window.rasterio)
            of_values.write(pixels.tobytes())
            of_valid.write((pixels != MAP_NODATA).astype(np.uint8).tobytes())


def _write(pixels: np.ndarray, like: Path, out: Path, tick: Tick) -> None:
    """Write `pixels` as a plain GeoTIFF with the grid of the map `like`."""
    with open_raster(like) as source:
        profile = {"crs": source.crs, "transform": source.transform, "height": source.height, "width": source.width}
    profile |= {"driver": "GTiff", "count": 1, "dtype": "uint8", "nodata": MAP_NODATA, "bigtiff": "IF_SAFER"}
    with verified_whole(out, 2 * pixels.size, tick), rasterio.open(out, "w", **profile) as file:
        for window in _strips(*pixels.shape):
            tick()
            file.write(pixels[window.slices], 1, window=window.rasterio)


def _strips(rows: int, cols: int) -> Iterator[Window]:
    for strip in blocks(rows, 1, block_px=_ROWS):
        yield Window(strip.row, 0, strip.rows, cols)
