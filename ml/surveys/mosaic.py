"""Many class maps as one: each pixel of the mosaic takes its class from one map, by a rule."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import rasterio
from numpy.typing import NDArray
from pydantic import Field

from ml.bounded import Count, Hectares, ShortText
from ml.contract import MAP_NODATA, ClassDef
from ml.datasets.splits import MOST_SCENES
from ml.frozen import Frozen
from ml.geo.areas_by_pixel import areas_by_pixel_ha
from ml.geo.crs import crs_name
from ml.geo.grid import Grid
from ml.geo.raster import LEAST_CACHE
from ml.geo.whole_file import verified_whole
from ml.geo.windows import Window, blocks
from ml.products.cog import MapEncoding, copy_as_cog, plain_raster
from ml.products.palette import classes_qml
from ml.products.write import classes_encoding
from ml.progress import Progress, Watch, silent
from ml.provenance import software
from ml.surveys.order import Rule, SurveyMap, by_rule
from ml.surveys.target import target_grid
from ml.surveys.warped import WarpedMaps, grid_of_map

NOBODY, UNOBSERVED = 0, 65_535  # sources.tif: no map lies here; some do, and none has observed it
FILES = ("mosaic.tif", "mosaic.qml", "sources.tif")
_BLOCK_PX = 1024
_MOST_BYTES = 4 * 3  # of a pixel: a class and a source, in uncompressed copies, overviews included
_SOURCES = MapEncoding("number of the scene that the class comes from", resampling="nearest")


class SceneShare(Frozen):
    """What a mosaic takes from one scene. pixels, area_ha: Those of which the class comes from its map."""

    scene: ShortText
    pixels: Count
    area_ha: Hectares


class Mosaic(Frozen):
    """A mosaic of the maps of a survey.

    crs: Code of its CRS, or its name if it has no code. rows, cols: Its size in pixels. transform: From (col, row) to
    x, y, as Affine has it. area_ha: Hectares by class value. observed_ha: All of them. unobserved_ha: Ground that lies
    in some scene, and that none has observed: clouds and gaps in all of them. scenes: In the order of the survey;
    number n in sources.tif is the n-th of them.
    """

    crs: ShortText
    rows: Count
    cols: Count
    transform: tuple[float, float, float, float, float, float]
    area_ha: dict[int, Hectares] = Field(max_length=256)
    observed_ha: Hectares
    unobserved_ha: Hectares
    scenes: tuple[SceneShare, ...] = Field(max_length=MOST_SCENES)
    software: dict[str, str]


def make_mosaic(
    maps: Sequence[SurveyMap],
    rule: Rule,
    classes: Sequence[ClassDef],
    out: Path,
    *,
    crs: pyproj.CRS | None = None,
    resolution_m: float | None = None,
    watch: Watch = silent,
) -> Mosaic:
    """Write mosaic.tif, mosaic.qml and sources.tif of class maps into the folder `out`.

    Each pixel takes its class from the first map, in the order of `by_rule`, that has observed it there, so each piece
    of ground counts once. sources.tif (uint16) has the number of that map, from 1 on; `UNOBSERVED` where maps lie and
    none has a class; `NOBODY` where none lies. crs, resolution_m: As those of `target_grid`. Memory does not grow with
    the mosaic: it is made by windows, and those that no map touches take no room in the files.

    Raises:
        InputRefused: As `target_grid`.
        OSError: There is not enough room on the disk.
    """
    grids = [grid_of_map(each.path) for each in maps]
    grid = target_grid(grids, crs, resolution_m)
    encodings = {"mosaic.tif": classes_encoding(classes), "sources.tif": _SOURCES}
    small_cache = rasterio.Env(GDAL_CACHEMAX=4 * LEAST_CACHE)
    with small_cache, WarpedMaps([each.path for each in maps], grids, grid) as warped:
        tick = partial(_report, watch, "check", 0, 1)
        most_bytes = _MOST_BYTES * grid.rows * grid.cols
        with (
            verified_whole(out / "mosaic.tif", most_bytes, tick),
            verified_whole(out / "sources.tif", most_bytes, tick),
        ):
            tally = _fill(warped, by_rule(maps, rule), grid, encodings, out, watch)
            for done, (name, encoding) in enumerate(encodings.items()):
                writing = partial(_report, watch, "write", done, len(encodings))
                copy_as_cog(_plain(out / name), out / name, encoding, writing)
    (out / "mosaic.qml").write_text(classes_qml(classes), encoding="utf-8")
    return tally.mosaic(maps, grid)


@dataclass
class _Tally:
    """What a mosaic holds so far, by windows.

    by_class: Hectares by value. pixels, area_ha: By map, numbered from 1 on; those at 0 lie in maps of which none has
    observed them.
    """

    by_class: NDArray[np.float64]
    pixels: NDArray[np.int64]
    area_ha: NDArray[np.float64]

    def add(self, classes: NDArray[np.uint8], sources: NDArray[np.uint16], pixels_ha: NDArray[np.float64]) -> None:
        """Count one window."""
        inside = sources != NOBODY
        hectares, numbers = pixels_ha[inside], np.where(sources == UNOBSERVED, 0, sources)[inside]
        self.by_class += np.bincount(classes[inside], hectares, minlength=256)
        self.pixels += np.bincount(numbers, minlength=len(self.pixels))
        self.area_ha += np.bincount(numbers, hectares, minlength=len(self.pixels))

    def mosaic(self, maps: Sequence[SurveyMap], grid: Grid) -> Mosaic:
        """The result."""
        area_ha = {int(value): float(self.by_class[value]) for value in np.flatnonzero(self.by_class[:MAP_NODATA])}
        shares = zip(maps, self.pixels[1:].tolist(), self.area_ha[1:].tolist(), strict=True)
        return Mosaic(
            crs=crs_name(grid.crs),
            rows=grid.rows,
            cols=grid.cols,
            transform=grid.transform[:6],
            area_ha=area_ha,
            observed_ha=sum(area_ha.values()),
            unobserved_ha=float(self.by_class[MAP_NODATA]),
            scenes=tuple(SceneShare(scene=each.name, pixels=count, area_ha=size) for each, count, size in shares),
            software=software(),
        )


def _fill(
    warped: WarpedMaps, order: Sequence[int], grid: Grid, encodings: Mapping[str, MapEncoding], out: Path, watch: Watch
) -> _Tally:
    """Write all windows of a mosaic and of its sources into plain rasters, and count what they hold."""
    tally = _Tally(np.zeros(256), np.zeros(len(order) + 1, np.int64), np.zeros(len(order) + 1))
    rank = {number: place for place, number in enumerate(order)}
    placed: dict[str, Any] = {
        "crs": grid.crs.to_wkt(),
        "transform": grid.transform,
        "height": grid.rows,
        "width": grid.cols,
    }
    kinds = {"mosaic.tif": ("uint8", MAP_NODATA), "sources.tif": ("uint16", NOBODY)}
    files = [plain_raster(_plain(out / name), encodings[name], *kind, **placed) for name, kind in kinds.items()]
    with files[0] as mosaic, files[1] as of_scenes:
        for window in blocks(grid.rows, grid.cols, block_px=_BLOCK_PX):
            _report(watch, "mosaic", window.row, grid.rows)
            near = sorted(warped.near(window), key=rank.__getitem__)
            if near:
                classes, sources = _first_observed(warped, near, window)
                tally.add(classes, sources, areas_by_pixel_ha(grid, window))
                mosaic.write(classes, 1, window=window.rasterio)
                of_scenes.write(sources, 1, window=window.rasterio)
    return tally


def _first_observed(
    warped: WarpedMaps, order: Sequence[int], window: Window
) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """The classes of a window, and the numbers of the maps, from 1 on, from which they come."""
    classes = np.full((window.rows, window.cols), MAP_NODATA, np.uint8)
    sources = np.full((window.rows, window.cols), NOBODY, np.uint16)
    for number in order:
        part, values, inside = warped.read(number, window)
        classes_there, sources_there = (each[part.within(window).slices] for each in (classes, sources))
        free = inside & (classes_there == MAP_NODATA)
        taken = free & (values != MAP_NODATA)
        classes_there[taken] = values[taken]
        sources_there[free] = np.where(taken[free], number + 1, UNOBSERVED)
        if (classes != MAP_NODATA).all():
            break
    return classes, sources


def _plain(path: Path) -> Path:
    return path.with_name(path.name + ".plain")


def _report(watch: Watch, stage: str, done: int, total: int) -> None:
    watch(Progress(stage, done, total))
