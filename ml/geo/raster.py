"""The one place that opens rasters for reading."""

import warnings
from pathlib import Path

import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError
from rasterio.io import DatasetReader

from ml.faults import Fault, InputRefused


def open_raster(path: Path) -> DatasetReader:
    """Open a GeoTIFF, by the GTiff driver alone, whatever its name says.

    `path` is made by us, never by a client. A client's file goes through `ml.geo.tiff.check_tiff` first.

    Raises:
        InputRefused: corrupt_tiff, GDAL cannot open it.
    """
    with warnings.catch_warnings():
        # scenes without a georeference are refused with their reasons, by `ml.geo.scene`
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            dataset: DatasetReader = rasterio.open(path, driver="GTiff")
        except RasterioIOError:
            fault = Fault("corrupt_tiff", "The file cannot be opened as a GeoTIFF.", "Export or send it again.")
            raise InputRefused(fault) from None
    return dataset
