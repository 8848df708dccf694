"""Turn a class map into polygons: each patch of a class is traced along its pixels.

The whole map is traced at once, so no polygon is cut at a window; GDAL reads it row by row, so memory grows with the
polygons and not with the map. Polygons are processed by the thousand: separate calls took three times as long.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.features import shapes

from ml.contract import ClassDef
from ml.geo.areas import polygon_area_ha
from ml.geo.grid import grid_of
from ml.geo.raster import open_raster
from ml.geo.watched import ticking
from ml.geo.whole_file import verified_whole
from ml.geo.windows import blocks, ceil_to
from ml.progress import Tick, still

_AT_ONCE = 4096
_BLOCK_PX = 2048


@dataclass(frozen=True)
class Patches:
    """Some patches of a map, arrays of shape (n,).

    geometries: Polygons in the CRS of the map. values: Class value of each patch. areas_ha: Geodesic areas in hectares.
    probabilities: Mean probability of its class in each patch, 0 to 1; NaN where it is not known.
    zones: Number of the zone in which each lies, -1 for none; None if they were not cut at the borders of zones.
    """

    geometries: NDArray[np.object_]
    values: NDArray[np.uint8]
    areas_ha: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    zones: NDArray[np.int64] | None = None

    def chosen(self, which: NDArray[np.bool_]) -> "Patches":
        """Those of the patches for which `which`, shape (n,), is true."""
        return Patches(self.geometries[which], self.values[which], self.areas_ha[which], self.probabilities[which])


def traced_values(classes: Sequence[ClassDef]) -> frozenset[int]:
    """The class values whose patches become polygons: of two classes 1, because 0 is everything else; else all."""
    values = frozenset(item.value for item in classes)
    return values - {0} if len(classes) == 2 else values


def patches(classes: Path, values: Collection[int], tick: Tick = still) -> Iterator[Patches]:
    """Every patch of the class values `values` in the map `classes`, in any order.

    Pixels that touch only at a corner belong to different patches. tick: Called at least every second or
    so.
    """
    traced = classes.with_name(classes.name + ".traced")
    try:
        if not _mask_others(classes, traced, values, tick):
            return
        dataset = open_raster(traced)  # not closed after an error: a thread may still trace it
        crs, pixels = grid_of(dataset).crs, dataset.width * dataset.height
        bands = rasterio.band(dataset, 1), rasterio.band(dataset, 2)
        outlines = shapes(bands[0], mask=bands[1], connectivity=4, transform=dataset.transform)
        while some := ticking(lambda: [*islice(outlines, _AT_ONCE)], tick, pixels):
            geometries = outlines_of([geometry for geometry, _ in some])
            values = np.array([value for _, value in some], np.uint8)
            unknown = np.full(len(values), np.nan)
            yield Patches(geometries, values, polygon_area_ha(geometries, crs), unknown)
        dataset.close()
    finally:
        traced.unlink(missing_ok=True)


def outlines_of(geometries: Sequence[Mapping[str, Any]]) -> NDArray[np.object_]:
    """The polygons of GeoJSON as polygons of shapely, shape (n,)."""
    rings = [ring for geometry in geometries for ring in geometry["coordinates"]]
    points = np.array([*chain.from_iterable(rings)], np.float64)
    offsets = [np.cumsum([0, *counts]) for counts in (map(len, rings), (len(g["coordinates"]) for g in geometries))]
    return polygons_through(points, *offsets)


def polygons_through(points: np.ndarray, rings: np.ndarray, polygons: np.ndarray) -> NDArray[np.object_]:
    """The polygons through some points, shape (n,).

    points: Shape (points, 2). rings: Where each ring begins in `points`. polygons: Where each polygon begins in
    `rings`. Both have one number more, which is the end of the last one.
    """
    return np.asarray(shapely.from_ragged_array(shapely.GeometryType.POLYGON, points, (rings, polygons)))


def _mask_others(classes: Path, out: Path, values: Collection[int], tick: Tick) -> bool:
    """Write the map with a second band that is 1 where a patch must be traced; GDAL reads its mask from this band.

    Blocks without such a pixel are left out. Returns whether there is any.
    """
    found = False
    wanted = np.isin(np.arange(256), list(values)).astype(np.uint8)
    with open_raster(classes) as source:
        profile = {**source.profile, "driver": "GTiff", "count": 2, "nodata": None, "sparse_ok": True}
        most_bytes = 4 * ceil_to(source.height, _BLOCK_PX) * ceil_to(source.width, _BLOCK_PX)
        with verified_whole(out, most_bytes, tick), rasterio.open(out, "w", **profile) as file:
            for window in blocks(source.height, source.width, block_px=_BLOCK_PX):
                tick()
                mapped = source.read(1, window=window.rasterio)
                if (chosen := wanted[mapped]).any():
                    found = True
                    file.write(np.stack([mapped, chosen]), window=window.rasterio)
    return found
