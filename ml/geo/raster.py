"""The one place that opens rasters for reading."""

import warnings
from pathlib import Path

import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader


def open_raster(path: Path) -> DatasetReader:
    """Open a GeoTIFF, by the GTiff driver alone, whatever its name says.

    `path` is made by us, never by a client. A client's file goes through `ml.geo.tiff.check_tiff` first.

    Raises:
        rasterio.errors.RasterioIOError: GDAL cannot open it.
    """
    with warnings.catch_warnings():
        # scenes without a georeference are refused with their reasons, by `ml.geo.scene`
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        dataset: DatasetReader = rasterio.open(path, driver="GTiff")
    return dataset
