"""Opens rasters for reading. No other module opens them."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError, CPLE_OutOfMemoryError
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader

from ml.faults import Fault, InputRefused
from ml.geo.windows import ceil_to

LEAST_CACHE = 16 << 20  # bytes


def open_raster(path: Path, overview: int | None = None) -> DatasetReader:
    """Open a GeoTIFF with the GTiff driver, whatever the name of the file.

    path: Path of the file, which must not come from a client. A file that a client sent must pass
        `ml.scenes.tiff_safety.check_tiff` first.
    overview: Number of the overview to open, where 0 is the largest; by default the full resolution.

    Raises:
        InputRefused: corrupt_tiff if GDAL cannot open the file or the overview.
    """
    with refusing_damage("The file cannot be opened as a GeoTIFF."), warnings.catch_warnings():
        # `ml.scenes.inspect` refuses scenes without a georeference and gives the reasons
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        dataset: DatasetReader = rasterio.open(path, driver="GTiff", **_level(overview))
    return dataset


def rows_of(path: Path) -> int:
    """The number of rows of a raster."""
    with open_raster(path) as dataset:
        return int(dataset.height)


def pixels_of(path: Path) -> int:
    """The number of pixels of a raster."""
    with open_raster(path) as dataset:
        return int(dataset.height) * int(dataset.width)


def pixel_types(dataset: DatasetReader) -> tuple[str, ...]:
    """NumPy's name of the type in which we read each band: float32 for floats of 16 bits, whatever GDAL has for them.

    GDAL returns float32 for these, too, until release 3.11, which has a type of its own for them.
    """
    return tuple("float32" if name == "float16" else name for name in dataset.dtypes)


def _level(overview: int | None) -> dict[str, int]:
    return {} if overview is None else {"overview_level": overview}


def has_cog_layout(dataset: DatasetReader) -> bool:
    """Whether a GeoTIFF says that it was written as a cloud-optimised one."""
    return bool(dataset.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") == "COG")


def lossy_compression(dataset: DatasetReader) -> str:
    """Return the compression of a GeoTIFF if it changes the pixels, like "JPEG"; "" if it keeps them."""
    structure = dataset.tags(ns="IMAGE_STRUCTURE")
    name, whole = str(structure.get("COMPRESSION", "")), np.dtype(pixel_types(dataset)[0]).kind in "iu"
    error = float(structure.get("MAX_Z_ERROR", 0))  # of LERC; whole numbers change from 1 on
    lossy = "JPEG" in name or structure.get("COMPRESSION_REVERSIBILITY", "").startswith("LOSSY")
    return name if lossy or error >= 1 or (error > 0 and not whole) else ""


@contextmanager
def caching_rows(dataset: DatasetReader, rows: int) -> Iterator[None]:
    """Limit GDAL's cache to the memory that reading a raster from top to bottom needs.

    Each block is still decoded only once.

    rows: Number of rows that are read at once, over all columns.
    """
    block_rows, block_cols = dataset.block_shapes[0]
    unaligned = max(block_rows, rows) % min(block_rows, rows)  # then a read may touch one more row of blocks
    touched = ceil_to(rows, block_rows) + (block_rows if unaligned else 0)
    pixel_bytes = sum(np.dtype(name).itemsize for name in pixel_types(dataset)) + 1  # the mask needs one byte
    needed = touched * ceil_to(dataset.width, block_cols) * pixel_bytes
    # unlike other settings, the size of the cache applies to the whole process
    with rasterio.Env(GDAL_CACHEMAX=max(needed * 5 // 4, LEAST_CACHE)):
        yield


@contextmanager
def refusing_damage(detail: str) -> Iterator[None]:
    """Turn rasterio's exceptions about a damaged file into `InputRefused`: corrupt_tiff, with `detail`.

    Raises:
        MemoryError: GDAL ran out of memory, which says nothing about the file.
    """
    hint = "Export or send the file again."
    try:
        yield
    except UnicodeDecodeError:
        fault = Fault("corrupt_tiff", f"{detail} Its metadata contain text that is not UTF-8.", hint)
        raise InputRefused(fault) from None
    except (RasterioError, CPLE_BaseError) as error:  # rasterio does not wrap some errors of GDAL
        if any(isinstance(each, CPLE_OutOfMemoryError) for each in _causes(error)):
            raise MemoryError(detail) from error
        raise InputRefused(Fault("corrupt_tiff", detail, hint)) from None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, the error that it was raised for, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
