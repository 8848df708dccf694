"""The frame of a sample: all pixels of a map that have a class, counted and identified window by window."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ml.contract import MAP_NODATA, ClassDef
from ml.faults import Fault, InputRefused
from ml.geo.areas_by_pixel import areas_by_pixel_ha
from ml.geo.grid import Grid, grid_of
from ml.geo.raster import open_raster
from ml.geo.watched import Through, unwatched
from ml.geo.windows import Window, blocks
from ml.sampling.design import Frame
from ml.scenes.source import RasterSource

_BLOCK_PX = 1024


def read_frame(classes: Path, names: Sequence[ClassDef], rule: str, through: Through = unwatched) -> Frame:
    """Count the pixels and hectares of each class of a map, on the ellipsoid, and compute the digest of the frame.

    classes: Path of a uint8 class map. names: All classes of the map. rule: How the strata follow from the map.
    through: Reports progress window by window; may raise `Stopped`.

    Raises:
        InputRefused: empty_map if no pixel has a class.
    """
    grid, digest = map_grid(classes), hashlib.sha256(rule.encode())
    place = [grid.rows, grid.cols, *grid.transform[:6], grid.crs.to_wkt()]
    digest.update(json.dumps(place).encode())
    pixels, area_ha = np.zeros(256, np.int64), np.zeros(256)
    for window, values in windows(classes, through):
        digest.update(values.tobytes())
        flat, pixels_ha = values.ravel(), areas_by_pixel_ha(grid, window).ravel()
        pixels += np.bincount(flat, minlength=256)
        area_ha += np.bincount(flat, pixels_ha, minlength=256)
    known = [item.value for item in names]
    if not pixels[known].sum():
        raise InputRefused(Fault("empty_map", "No pixel of the map has a class.", "Predict a scene that has data."))
    return Frame(
        sha256=digest.hexdigest(),
        pixels=int(pixels[known].sum()),
        area_ha=float(area_ha[known].sum()),
        classes=tuple(names),
        class_area_ha={value: float(area_ha[value]) for value in known},
        class_pixels={value: int(pixels[value]) for value in known},
    )


def map_grid(classes: Path) -> Grid:
    """The grid of a map."""
    with open_raster(classes) as dataset:
        return grid_of(dataset)


def windows(classes: Path, through: Through = unwatched) -> Iterator[tuple[Window, np.ndarray]]:
    """Yield the windows of a map, always in the same order, each with its values, uint8 (rows, cols).

    `MAP_NODATA` stands where the map has no class. Only one window is in memory at a time.
    """
    with RasterSource(classes) as source:
        for window in through(blocks(source.rows, source.cols, block_px=_BLOCK_PX)):
            raw, valid = source.read_raw(window)
            yield window, np.where(valid, raw[0], np.uint8(MAP_NODATA))
