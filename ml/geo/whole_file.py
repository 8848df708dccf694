"""Checks that a raster that GDAL has written is complete."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

from ml.faults import InputRefused
from ml.geo.raster import open_raster
from ml.geo.windows import blocks, side_within

_READ_PX = 2048
_READ_BYTES = 128 << 20  # most of them at once: of 256 bands of float64, 2048 x 2048 px are 8.6 GB
_OTHER_BYTES = 1 << 20  # limit on everything in a file that is not pixels


@contextmanager
def verified_whole(path: Path, most_bytes: int) -> Iterator[None]:
    """Run a block that writes the raster `path` with GDAL, then read the whole raster.

    On a full disk, GDAL may close an incomplete file without an error. Or it may remove the file and raise an error
    that does not mention the disk.

    most_bytes: Largest number of bytes that the block can write, including temporary files.

    Raises:
        OSError: ENOSPC if the block failed or the file cannot be read, and the disk had less than `most_bytes` free.
        RasterioError, CPLE_BaseError, InputRefused: The block failed, or the file cannot be read, for another reason.
    """
    free_bytes = shutil.disk_usage(path.parent).free
    try:
        yield
        _read_all(path)
    except (RasterioError, CPLE_BaseError, InputRefused) as error:
        if min(free_bytes, shutil.disk_usage(path.parent).free) < most_bytes + _OTHER_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise


def _read_all(path: Path) -> None:
    """Read every block of a raster and of its overviews; GDAL raises an error if a compressed block is damaged."""
    with open_raster(path) as file:
        levels = len(file.overviews(1))
    for level in (None, *range(levels)):
        with open_raster(path, overview=level) as file:
            pixel_bytes = sum(np.dtype(name).itemsize for name in file.dtypes)
            for window in blocks(file.height, file.width, block_px=side_within(_READ_BYTES, pixel_bytes, _READ_PX)):
                file.read(window=window.rasterio)
