"""The one place that opens rasters for reading."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader

from ml.faults import Fault, InputRefused
from ml.geo.windows import ceil_to

LEAST_CACHE = 16 << 20


def open_raster(path: Path, overview: int | None = None) -> DatasetReader:
    """Open a GeoTIFF, by the GTiff driver alone, whatever its name says; or one of its overviews, 0 is the largest.

    `path` is made by us, never by a client. A client's file goes through `ml.scenes.tiff_safety.check_tiff` first.

    Raises:
        InputRefused: corrupt_tiff, GDAL cannot open it.
    """
    with refusing_damage("The file cannot be opened as a GeoTIFF."), warnings.catch_warnings():
        # scenes without a georeference are refused with their reasons, by `ml.scenes.inspect`
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        dataset: DatasetReader = rasterio.open(path, driver="GTiff", **_level(overview))
    return dataset


def _level(overview: int | None) -> dict[str, int]:
    return {} if overview is None else {"overview_level": overview}


@contextmanager
def caching_rows(dataset: DatasetReader, rows: int) -> Iterator[None]:
    """GDAL's cache as small as reading all columns from the top down, so many rows at once, can do with."""
    high, wide = dataset.block_shapes[0]
    apart = max(high, rows) % min(high, rows)  # then a piece may touch blocks above and below those that it fills
    touched = ceil_to(rows, high) + (high if apart else 0)
    pixel_bytes = sum(np.dtype(name).itemsize for name in dataset.dtypes) + 1  # the mask has a byte
    needed = touched * ceil_to(dataset.width, wide) * pixel_bytes
    # each block is decoded once all the same
    with rasterio.Env(GDAL_CACHEMAX=max(needed * 5 // 4, LEAST_CACHE)):  # of the whole process, unlike other settings
        yield


@contextmanager
def refusing_damage(detail: str) -> Iterator[None]:
    """Turn what rasterio raises about a damaged file into `InputRefused`: corrupt_tiff, with `detail`."""
    hint = "Export or send the file again."
    try:
        yield
    except UnicodeDecodeError:
        fault = Fault("corrupt_tiff", f"{detail} Its metadata hold text that is not UTF-8.", hint)
        raise InputRefused(fault) from None
    except (RasterioError, CPLE_BaseError):  # some errors of GDAL come through as they are
        raise InputRefused(Fault("corrupt_tiff", detail, hint)) from None
