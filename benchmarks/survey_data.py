"""Scenes and maps side by side, on both sides of the border of two zones of UTM, and a mosaic of them."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyproj
import rasterio
from affine import Affine
from numpy.typing import NDArray

from ml.contract import MAP_NODATA, ClassDef
from ml.surveys.mosaic import make_mosaic
from ml.surveys.order import SurveyMap

WEST, EAST = "EPSG:32649", "EPSG:32650"
GSD_M, NODATA = 0.8, 0  # as in `benchmarks.inputs`, which imports torch, and with it memory that is no mosaic's
BORDER_M, NORTH_M = 808_000, 2_550_000  # near 114 degrees east, in the western zone
SHARED = 0.1  # of the side of a scene, with each of its neighbours
FIRST_DAY = datetime(2024, 10, 1, tzinfo=UTC)


def places(count: int, size: int) -> Iterator[tuple[str, Affine]]:
    """CRS and transform of scenes in rows, half of them in each zone of UTM."""
    across, step_m = math.ceil(math.sqrt(count)), (1 - SHARED) * size * GSD_M
    to_east = pyproj.Transformer.from_crs(WEST, EAST, always_xy=True)
    for number in range(count):
        row, col = divmod(number, across)
        x, y = BORDER_M + (col - across / 2) * step_m, NORTH_M - row * step_m
        crs = WEST if x < BORDER_M else EAST
        left, top = (x, y) if crs == WEST else to_east.transform(x, y)
        yield crs, Affine(GSD_M, 0, round(left / GSD_M) * GSD_M, 0, -GSD_M, round(top / GSD_M) * GSD_M)


def make_scenes(folder: str, count: int, size: int) -> None:
    """Write scenes s0.tif, s1.tif, ... of the same ground, rolled, each with a cloud."""
    from benchmarks.inputs import make_scene

    base = Path(folder) / "base.tif"
    make_scene(str(base), size)
    _copies(base, Path(folder), "s", count, size, NODATA)


def make_maps(folder: str, count: int, size: int) -> None:
    """Write class maps m0.tif, m1.tif, ..., each with a cloud."""
    from benchmarks.inputs import make_class_map

    base = Path(folder) / "base-map.tif"
    make_class_map(str(base), size)
    _copies(base, Path(folder), "m", count, size, MAP_NODATA)


def _copies(base: Path, folder: Path, prefix: str, count: int, size: int, nodata: int) -> None:
    with rasterio.open(base) as source:
        profile, pixels = source.profile, source.read()
    rng = np.random.default_rng(0)
    for number, (crs, transform) in enumerate(places(count, size)):
        profile |= {"crs": crs, "transform": transform, "nodata": nodata}
        with rasterio.open(folder / f"{prefix}{number}.tif", "w", **profile) as file:
            file.write(_clouded(np.roll(pixels, rng.integers(size), axis=2), rng, nodata))


def _clouded(pixels: NDArray[np.generic], rng: np.random.Generator, nodata: int) -> NDArray[np.generic]:
    size = pixels.shape[1]
    row, col = rng.integers(size // 2, size=2)
    pixels[:, row : row + size // 4, col : col + size // 4] = nodata
    return pixels


def mosaic_of(folder: str, count: int) -> dict[str, float]:
    """Make the mosaic of the maps m0.tif, m1.tif, ... of a folder; its size and hectares."""
    there = Path(folder)
    maps = [SurveyMap(f"m{n}", there / f"m{n}.tif", acquired(n), 0.9) for n in range(count)]
    classes = (ClassDef(value=0, name="other"), ClassDef(value=1, name="sugarcane"))
    out = there / f"mosaic-{count}"
    out.mkdir(exist_ok=True)
    found = make_mosaic(maps, "newest", classes, out)
    return {"pixels": found.rows * found.cols, "observed_ha": found.observed_ha, "unobserved_ha": found.unobserved_ha}


def acquired(number: int) -> datetime:
    """When a scene was acquired."""
    return FIRST_DAY + timedelta(hours=number)
