"""Cloud-optimised GeoTIFFs: what is published."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.enums import ColorInterp

from ml.contract import MAP_NODATA
from ml.geo.raster import open_raster
from ml.geo.whole_file import verified_whole
from ml.geo.windows import blocks, ceil_to

BLOCK_PX = 512
_QUICK = {"level": 1}  # of maps: half the time of level 6 and a fifth more bytes at most
_COG = {"driver": "COG", "compress": "DEFLATE", "num_threads": "ALL_CPUS", "bigtiff": "IF_SAFER"}
_COPIES = 4  # at most as many bytes as so many plain copies of the pixels are written on the way to a COG
Colour = tuple[int, int, int, int]


@dataclass(frozen=True)
class MapEncoding:
    """How a uint8 map is to be read. A pixel means `scale * value + offset`; one of `MAP_NODATA` was not observed.

    colours: value -> red, green, blue, alpha. tags: metadata. resampling: of the overviews; "mode" for classes.
    """

    description: str
    scale: float = 1.0
    offset: float = 0.0
    colours: Mapping[int, Colour] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    resampling: str = "mode"


class Raster(Protocol):
    """What a map is written from: an array of uint8 (rows, cols), or what reads like one, window by window."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""

    def __getitem__(self, window: tuple[slice, slice], /) -> np.ndarray:
        """The pixels of a window."""


def write_cog(values: Raster, like: Path, out: Path, layer: MapEncoding) -> None:
    """Write `values`, read once, by blocks, as a COG on exactly the grid of the scene `like`.

    Raises `OSError` for want of room.
    """
    with open_raster(like) as scene:
        grid = {"crs": scene.crs, "transform": scene.transform, "height": scene.height, "width": scene.width}
    rows, cols = (ceil_to(size, BLOCK_PX) for size in values.shape)
    with verified_whole(out, _COPIES * rows * cols):
        _write(values, grid, out, layer)


def _write(values: Raster, grid: Mapping[str, object], out: Path, layer: MapEncoding) -> None:
    plain = out.with_name(out.name + ".plain")
    tiled = {"driver": "GTiff", "tiled": True, "blockxsize": BLOCK_PX, "blockysize": BLOCK_PX, "bigtiff": "IF_SAFER"}
    with rasterio.open(plain, "w", count=1, dtype="uint8", nodata=MAP_NODATA, **tiled, **grid) as file:
        _describe(file, layer)
        for window in blocks(*values.shape, block_px=BLOCK_PX):
            file.write(values[window.slices], 1, window=window.rasterio)
    with open_raster(plain) as dataset:
        rasterio.shutil.copy(dataset, out, overview_resampling=layer.resampling, **_COG, **_QUICK)
    plain.unlink()


def is_cog(path: Path) -> bool:
    """Whether the file was written as a COG."""
    with open_raster(path) as dataset:
        return bool(dataset.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") == "COG")


def to_cog(path: Path, out: Path) -> None:
    """Copy a scene into a COG; no pixel changes. Overviews are made anew: those in the file may show anything."""
    with open_raster(path) as dataset:
        resampling = "nearest" if dataset.colorinterp[0] == ColorInterp.palette else "average"
        afresh = {"overviews": "IGNORE_EXISTING", "overview_resampling": resampling, "predictor": "YES"}
        pixel_bytes = sum(np.dtype(name).itemsize for name in dataset.dtypes)
        with verified_whole(
            out, _COPIES * pixel_bytes * ceil_to(dataset.height, BLOCK_PX) * ceil_to(dataset.width, BLOCK_PX)
        ):
            rasterio.shutil.copy(dataset, out, **afresh, **_COG)


def _describe(file: rasterio.io.DatasetWriter, layer: MapEncoding) -> None:
    file.set_band_description(1, layer.description)
    file.scales, file.offsets = (layer.scale,), (layer.offset,)
    file.update_tags(**layer.tags)
    if layer.colours:
        file.write_colormap(1, dict(layer.colours))
