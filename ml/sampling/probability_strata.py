"""Strata by the probability of a map: where the model is in doubt, points tell most."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import rasterio

from ml.contract import MAP_NODATA, ClassDef
from ml.geo.raster import open_raster
from ml.geo.watched import Through, unwatched
from ml.geo.whole_file import verified_whole
from ml.sampling.frame import windows

EDGES = (0.1, 0.5, 0.9)
STRATA: Sequence[ClassDef] = tuple(
    ClassDef(value=number, name=f"probability {low:g} to {high:g}")
    for number, (low, high) in enumerate(pairwise((0.0, *EDGES, 1.0)))
)


def write_strata(classes: Path, probability: Path, out: Path, through: Through = unwatched) -> None:
    """Write the stratum of each pixel of a map: the index of its range of probability in `STRATA`.

    classes: Path of the class map. probability: Path of the probability on the same grid, of which a byte b means
    (b + 0.5) / 250. out: A uint8 raster on this grid, with `MAP_NODATA` where the map has no class.
    """
    with open_raster(classes) as source, open_raster(probability) as of_map:
        if (source.shape, source.transform) != (of_map.shape, of_map.transform):
            raise ValueError("the class map and the probability have different grids")
        profile = {"crs": source.crs, "transform": source.transform, "height": source.height, "width": source.width}
        profile |= {"driver": "GTiff", "count": 1, "dtype": "uint8", "nodata": MAP_NODATA, "tiled": True}
        with (
            verified_whole(out, 2 * source.width * source.height + (1 << 20)),
            rasterio.open(out, "w", **profile) as file,
        ):
            for window, values in windows(classes, through):
                likely = (of_map.read(1, window=window.rasterio) + 0.5) / 250
                strata = np.where(values == MAP_NODATA, MAP_NODATA, np.digitize(likely, EDGES))
                file.write(strata.astype(np.uint8), 1, window=window.rasterio)
