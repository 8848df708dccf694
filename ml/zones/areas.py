"""The hectares of each class of a map in each zone."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import rasterio
from pydantic import Field

from ml.bounded import Hectares, ShortText
from ml.contract import MAP_NODATA
from ml.frozen import Frozen
from ml.geo.areas_by_pixel import areas_by_pixel_ha
from ml.geo.grid import Grid, grid_of
from ml.geo.raster import LEAST_CACHE, open_raster
from ml.geo.windows import Window, blocks_by_tile
from ml.progress import Tick, still
from ml.scenes.source import RasterSource
from ml.zones.coverage import Floats, Outline
from ml.zones.placing import outlines_on
from ml.zones.read import MOST_ZONES, Zones

_BLOCK_PX = 1024


class ZoneClasses(Frozen):
    """What a map has in one zone. code: Of the zone. area_ha: Hectares by class value; 255 is ground not observed."""

    code: ShortText
    area_ha: dict[int, Hectares] = Field(max_length=256)


class ClassesByZone(Frozen):
    """What a map has in each zone. Zones that lie outside the map are left out."""

    zones: tuple[ZoneClasses, ...] = Field(max_length=MOST_ZONES)

    @property
    def by_code(self) -> dict[str, dict[int, float]]:
        """Hectares by class value, by the code of the zone."""
        return {each.code: each.area_ha for each in self.zones}


def classes_by_zone(map_: Path, zones: Zones, tick: Tick = still) -> ClassesByZone:
    """Measure the classes of a map in each zone, window by window.

    A pixel that lies in a zone in part counts by the share that the zone covers, with its area on the ellipsoid. So
    zones that tile another one have exactly its hectares together.

    map_: Path of a class raster, uint8. tick: Called before each window.
    """
    with open_raster(map_) as dataset:
        grid = grid_of(dataset)
    small_cache = rasterio.Env(GDAL_CACHEMAX=4 * LEAST_CACHE)  # each block is decoded once
    with small_cache, RasterSource(map_) as source:
        windows = blocks_by_tile(source.rows, source.cols, block_px=_BLOCK_PX, tile_px=source.tile_px(_BLOCK_PX))
        return values_by_zone(grid, zones, windows, lambda window: source.read_raw(window)[0][0], tick)


def values_by_zone(
    grid: Grid, zones: Zones, windows: Iterable[Window], read: Callable[[Window], np.ndarray], tick: Tick = still
) -> ClassesByZone:
    """Measure as `classes_by_zone` does what a function reads by windows of a grid. read: Returns uint8 (rows, cols).

    windows: They cover the grid without overlap. Those that touch no zone are not read.
    """
    outlines = outlines_on(zones, grid)
    total_ha = {number: np.zeros(256) for number in outlines}
    for window in windows:
        tick()
        near = {number: outline for number, outline in outlines.items() if outline.touches(window)}
        if near:
            _add_window(read(window), areas_by_pixel_ha(grid, window), window, near, total_ha)
    found = (
        ZoneClasses(code=zones.texts[number].code, area_ha=_positive(area_ha)) for number, area_ha in total_ha.items()
    )
    return ClassesByZone(zones=tuple(each for each in found if each.area_ha))


def _add_window(
    values: np.ndarray, pixels_ha: Floats, window: Window, outlines: dict[int, Outline], total_ha: dict[int, Floats]
) -> None:
    """Add what one window has to the hectares of each zone by value, shape (256,).

    A step in the share of a pixel counts for all pixels from it to the end of the row. So the hectares of each value
    are added up along the rows once for all zones, and then only the places are looked at where edges pass.

    values: Pixels, uint8. pixels_ha: Their areas.
    """
    steps = {number: outline.steps(window) for number, outline in outlines.items()}
    before = np.zeros((window.rows, window.cols + 1))  # hectares of the row to the left of a pixel
    for value in np.flatnonzero(np.bincount(values.ravel(), minlength=256)):
        np.cumsum(np.where(values == value, pixels_ha, 0), axis=1, out=before[:, 1:])
        for number, (places, differences) in steps.items():
            from_here_on = before[places // (window.cols + 1), -1] - before.ravel()[places]
            total_ha[number][value] += differences @ from_here_on


def _positive(area_ha: np.ndarray) -> dict[int, float]:
    """Hectares by value, without values that the zone has nothing of but what rounding left."""
    there = np.flatnonzero(area_ha > 1e-12 * max(area_ha.sum(), 1e-9))
    return {int(value): float(area_ha[value]) for value in there}


def observed_ha(area_ha: dict[int, float]) -> float:
    """Hectares of all classes together, without ground that was not observed."""
    return sum(size for value, size in area_ha.items() if value != MAP_NODATA)
