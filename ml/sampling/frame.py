"""The frame of a sample: all pixels of a map that have a class, counted and identified window by window."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.contract import MAP_NODATA, ClassDef
from ml.faults import Fault, InputRefused
from ml.geo.areas_by_pixel import areas_by_pixel_ha
from ml.geo.grid import Grid, grid_of
from ml.geo.raster import open_raster
from ml.geo.watched import Through, unwatched
from ml.geo.windows import Window, blocks
from ml.sampling.cells import Cell, cells_of
from ml.sampling.design import Frame
from ml.scenes.source import RasterSource
from ml.zones.numbering import NO_ZONE, ZoneNumbers

_BLOCK_PX = 1024


SEVERAL = -1


@dataclass(frozen=True)
class Counted:
    """A frame, and its pixels by zone and class. several: How many pixels lie in zones that overlap."""

    frame: Frame
    cells: tuple[Cell, ...]
    several: int


def read_frame(classes: Path, names: Sequence[ClassDef], rule: str, through: Through = unwatched) -> Frame:
    """The frame of a map, see `read_cells`."""
    return read_cells(classes, names, rule, through).frame


def read_cells(
    classes: Path,
    names: Sequence[ClassDef],
    rule: str,
    through: Through = unwatched,
    zones: ZoneNumbers | None = None,
) -> Counted:
    """Count the pixels and hectares of each class of a map, on the ellipsoid, and compute the digest of the frame.

    classes: Path of a uint8 class map. names: All classes of the map. rule: How the strata follow from the map.
    through: Reports progress window by window; may raise `Stopped`. zones: By which to count, too.

    Raises:
        InputRefused: empty_map if no pixel has a class.
    """
    grid, digest = map_grid(classes), hashlib.sha256(rule.encode())
    place = [grid.rows, grid.cols, *grid.transform[:6], grid.crs.to_wkt()]
    digest.update(json.dumps(place).encode())
    pixels = dict[int, NDArray[np.int64]]()
    area_ha = dict[int, NDArray[np.float64]]()
    known, several = [item.value for item in names], 0
    for window, values in windows(classes, through):
        digest.update(values.tobytes())
        flat, pixels_ha = values.ravel(), areas_by_pixel_ha(grid, window).ravel()
        for zone, where in _parts(window, zones, digest):
            if zone == SEVERAL:
                several += int(np.isin(values[where], known).sum())
                continue
            here = slice(None) if where is None else where.ravel()
            pixels[zone] = pixels.get(zone, np.zeros(256, np.int64)) + np.bincount(flat[here], minlength=256)
            of_zone_ha = np.bincount(flat[here], pixels_ha[here], minlength=256)
            area_ha[zone] = area_ha.get(zone, np.zeros(256)) + of_zone_ha
    of_all, of_all_ha = sum(pixels.values()), sum(area_ha.values())
    assert isinstance(of_all, np.ndarray) and isinstance(of_all_ha, np.ndarray)
    if not of_all[known].sum():
        raise InputRefused(Fault("empty_map", "No pixel of the map has a class.", "Predict a scene that has data."))
    frame = Frame(
        sha256=digest.hexdigest(),
        pixels=int(of_all[known].sum()),
        area_ha=float(of_all_ha[known].sum()),
        classes=tuple(names),
        class_area_ha={value: float(of_all_ha[value]) for value in known},
        class_pixels={value: int(of_all[value]) for value in known},
    )
    keys = [(zone, value) for zone in pixels for value in known]
    by_key = {(zone, value): int(pixels[zone][value]) for zone, value in keys}
    return Counted(frame, cells_of(by_key, {key: float(area_ha[key[0]][key[1]]) for key in keys}), several)


def _parts(window: Window, zones: ZoneNumbers | None, digest: Any) -> Iterator[tuple[int, NDArray[np.bool_] | None]]:
    """Yield each zone of a window with its pixels, and `SEVERAL` with those that lie in several; None is all pixels."""
    if zones is None:
        yield NO_ZONE, None
        return
    numbers, several = zones.of(window)
    digest.update(numbers.tobytes())
    for zone in np.unique(numbers).tolist():
        yield zone, numbers == zone
    if several.any():
        yield SEVERAL, several


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
