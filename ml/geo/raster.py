"""The one place that opens rasters for reading."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader

from ml.faults import Fault, InputRefused


def open_raster(path: Path) -> DatasetReader:
    """Open a GeoTIFF, by the GTiff driver alone, whatever its name says.

    `path` is made by us, never by a client. A client's file goes through `ml.geo.tiff.check_tiff` first.

    Raises:
        InputRefused: corrupt_tiff, GDAL cannot open it.
    """
    with refusing_damage("The file cannot be opened as a GeoTIFF."), warnings.catch_warnings():
        # scenes without a georeference are refused with their reasons, by `ml.geo.scene`
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        dataset: DatasetReader = rasterio.open(path, driver="GTiff")
    return dataset


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
