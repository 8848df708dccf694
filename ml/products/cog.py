"""Write maps and scenes as cloud-optimised GeoTIFFs (COGs), the form in which they are published."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader, DatasetWriter

from ml.contract import MAP_NODATA
from ml.geo.raster import caching_rows, has_cog_layout, open_raster, pixel_types, refusing_damage
from ml.geo.watched import ticking
from ml.geo.whole_file import verified_whole
from ml.geo.windows import blocks, ceil_to, side_within
from ml.progress import Tick, still
from ml.scenes.source import descriptions, usable_nodata
from ml.scenes.tiff_directories import nodata_text

BLOCK_PX = 512
_BLOCK_BYTES = 64 << 20  # of a copied scene: of 256 bands of float64, a block of 512 x 512 px would have 0.5 GB
_QUICK = {"level": 1}  # compression of maps: half the time of level 6 and at most a fifth more bytes
_COG = {"driver": "COG", "compress": "DEFLATE", "num_threads": "ALL_CPUS", "bigtiff": "IF_SAFER"}
_COPIES = 4  # writing a COG takes at most the bytes of this number of uncompressed copies of the pixels
Colour = tuple[int, int, int, int]


@dataclass(frozen=True)
class MapEncoding:
    """How the pixels of a uint8 map are encoded.

    description: Description of the band. scale, offset: A pixel means `scale * value + offset`, except that
    `MAP_NODATA` means that it was not observed. colours: Red, green, blue and alpha of each value, 0 to 255. tags:
    Metadata of the file. resampling: Resampling method of the overviews, "mode" for classes.
    """

    description: str
    scale: float = 1.0
    offset: float = 0.0
    colours: Mapping[int, Colour] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    resampling: str = "mode"


class Raster(Protocol):
    """The pixels of a map, uint8 (rows, cols): an array, or an object that is read like one, window by window."""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of columns."""

    def __getitem__(self, window: tuple[slice, slice], /) -> np.ndarray:
        """The pixels of a window, uint8 (rows, cols)."""


def write_cog(values: Raster, like: Path, out: Path, encoding: MapEncoding, tick: Tick = still) -> None:
    """Write `values` as a COG on exactly the grid of the scene `like`; they are read once, by blocks.

    Blocks of pixels that were not observed take no room in the file. tick: Called at least every second or so.

    Raises:
        OSError: There is not enough room on the disk.
    """
    with open_raster(like) as scene:
        grid = {"crs": scene.crs, "transform": scene.transform, "height": scene.height, "width": scene.width}
    rows, cols = (ceil_to(size, BLOCK_PX) for size in values.shape)
    with verified_whole(out, _COPIES * rows * cols, tick):
        _write(values, grid, out, encoding, tick)


def _write(values: Raster, grid: Mapping[str, Any], out: Path, encoding: MapEncoding, tick: Tick) -> None:
    plain = out.with_name(out.name + ".plain")
    with plain_raster(plain, encoding, "uint8", MAP_NODATA, **grid) as file:
        for window in blocks(*values.shape, block_px=BLOCK_PX):
            tick()
            block = values[window.slices]
            if (block != MAP_NODATA).any():
                file.write(block, 1, window=window.rasterio)
    copy_as_cog(plain, out, encoding, tick)


def plain_raster(path: Path, encoding: MapEncoding, dtype: str, nodata: int, **grid: Any) -> DatasetWriter:
    """Open a new tiled GeoTIFF of one band, in which blocks that are not written take no room.

    grid: crs, transform, height and width.
    """
    tiled = {"tiled": True, "blockxsize": BLOCK_PX, "blockysize": BLOCK_PX, "bigtiff": "IF_SAFER", "sparse_ok": True}
    file: DatasetWriter = rasterio.open(path, "w", driver="GTiff", count=1, dtype=dtype, nodata=nodata, **tiled, **grid)
    _describe(file, encoding)
    return file


def copy_as_cog(plain: Path, out: Path, encoding: MapEncoding, tick: Tick) -> None:
    """Make a COG of what `plain_raster` has written, and delete that."""

    def copy() -> None:
        with open_raster(plain) as dataset:
            options = {"overview_resampling": encoding.resampling, "sparse_ok": True}
            rasterio.shutil.copy(dataset, out, **options, **_COG, **_QUICK)

    with open_raster(plain) as dataset:
        pixels = dataset.height * dataset.width
    ticking(copy, tick, pixels)
    plain.unlink()


def is_cog(path: Path) -> bool:
    """Whether the file was written as a COG."""
    with open_raster(path) as dataset:
        return has_cog_layout(dataset)


def to_cog(path: Path, out: Path) -> None:
    """Copy a scene into a COG: its pixels without any change, its place, its mask or alpha, and what its bands mean.

    Nothing else of the file is copied. Its metadata and its overviews need not belong to its pixels, and pixels of 12
    bits, which the metadata declare, cannot be compressed like those of 16. Overviews are computed from the pixels.

    Raises:
        OSError: There is not enough room on the disk.
        InputRefused: corrupt_tiff if the file is damaged.
    """
    plain = out.with_name(out.name + ".plain")
    with open_raster(path) as scene:
        resampling = "nearest" if scene.colorinterp[0] == ColorInterp.palette else "average"
        pixel_bytes = sum(np.dtype(name).itemsize for name in pixel_types(scene)) + 1
        size = {"blocksize": str(side_within(_BLOCK_BYTES, pixel_bytes, BLOCK_PX))}
        most = _COPIES * pixel_bytes * ceil_to(scene.height, BLOCK_PX) * ceil_to(scene.width, BLOCK_PX)
        try:
            with refusing_damage("The pixels of the scene cannot all be decoded."), verified_whole(out, most):
                _copy_pixels(scene, path, plain)
                with open_raster(plain) as dataset:
                    rasterio.shutil.copy(dataset, out, overview_resampling=resampling, predictor="YES", **size, **_COG)
        finally:
            plain.unlink(missing_ok=True)


def _copy_pixels(scene: DatasetReader, path: Path, out: Path) -> None:
    """Write pixels, place, mask, colours and scales of a scene into a new GeoTIFF, block by block and band by band."""
    profile = {name: scene.profile[name] for name in ("width", "height", "count", "crs", "transform")}
    tiled = {"tiled": True, "blockxsize": BLOCK_PX, "blockysize": BLOCK_PX, "interleave": "band", "sparse_ok": True}
    kept = profile | tiled | {"dtype": pixel_types(scene)[0], "nodata": _nodata(scene, path)}
    masked = scene.mask_flag_enums[0] == [MaskFlags.per_dataset]
    inside = rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True)
    with inside, rasterio.open(out, "w", driver="GTiff", bigtiff="IF_SAFER", **kept) as file:
        _copy_meaning(scene, file)
        with caching_rows(scene, BLOCK_PX):
            for window in blocks(scene.height, scene.width, block_px=BLOCK_PX):
                for band in scene.indexes:
                    pixels = scene.read(band, window=window.rasterio, out_dtype=file.dtypes[0])
                    file.write(pixels, band, window=window.rasterio)
                if masked:
                    file.write_mask(scene.read_masks(1, window=window.rasterio), window=window.rasterio)


def _nodata(scene: DatasetReader, path: Path) -> float | None:
    """Return the nodata value of a scene; None if no pixel can have it, like "abc", which GDAL reads as 0."""
    usable = usable_nodata(nodata_text(path), np.dtype(pixel_types(scene)[0]))
    declared = scene.nodata
    return declared if usable is not None or (declared is not None and np.isnan(declared)) else None


def _copy_meaning(scene: DatasetReader, file: DatasetWriter) -> None:
    """Copy colours, scales, offsets and descriptions of the bands."""
    file.colorinterp = scene.colorinterp
    if scene.colorinterp[0] == ColorInterp.palette:
        file.write_colormap(1, scene.colormap(1))
    file.scales, file.offsets = scene.scales, scene.offsets
    file.descriptions = descriptions(scene)


def _describe(file: DatasetWriter, encoding: MapEncoding) -> None:
    file.set_band_description(1, encoding.description)
    file.scales, file.offsets = (encoding.scale,), (encoding.offset,)
    file.update_tags(**encoding.tags)
    if encoding.colours:
        file.write_colormap(1, dict(encoding.colours))
