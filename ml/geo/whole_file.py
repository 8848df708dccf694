"""Checks that a raster that GDAL has written is complete."""

import errno
import os
import resource
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

from ml.faults import InputRefused
from ml.geo.raster import open_raster
from ml.geo.windows import blocks, side_within
from ml.progress import Tick, still

_READ_PX = 2048
_READ_BYTES = 128 << 20  # most of them at once: of 256 bands of float64, 2048 x 2048 px are 8.6 GB
_OTHER_BYTES = 1 << 20  # limit on everything in a file that is not pixels
_FILES = 3  # that a block writes: the raster, a first copy of it, and a temporary one of GDAL's


@contextmanager
def verified_whole(path: Path, most_bytes: int, tick: Tick = still) -> Iterator[None]:
    """Run a block that writes the raster `path` with GDAL, then read the whole raster.

    On a full disk, GDAL may close an incomplete file without an error. Or it may remove the file and raise an error
    that does not mention the disk.

    most_bytes: Largest number of bytes that the block can write, including temporary files. tick: Called while the
        raster is read.

    Raises:
        OSError: ENOSPC if the block failed or the file cannot be read, and the disk had less than `most_bytes` free, or
            less than the block may write where the size of files is limited to less than that.
        RasterioError, CPLE_BaseError, InputRefused: The block failed, or the file cannot be read, for another reason.
    """
    most_bytes, free_bytes = min(most_bytes, _may_write()), shutil.disk_usage(path.parent).free
    try:
        yield
        _read_all(path, tick)
    except (RasterioError, CPLE_BaseError, InputRefused) as error:
        if min(free_bytes, shutil.disk_usage(path.parent).free) < most_bytes + _OTHER_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise


def _may_write() -> int:
    """Bytes that a block may write in a process with a limit on the size of its files."""
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    return sys.maxsize if limit == resource.RLIM_INFINITY else _FILES * limit


def _read_all(path: Path, tick: Tick) -> None:
    """Read every block of a raster and of its overviews; GDAL raises an error if a compressed block is damaged."""
    with open_raster(path) as file:
        levels = len(file.overviews(1))
    for level in (None, *range(levels)):
        with open_raster(path, overview=level) as file:
            pixel_bytes = sum(np.dtype(name).itemsize for name in file.dtypes)
            for window in blocks(file.height, file.width, block_px=side_within(_READ_BYTES, pixel_bytes, _READ_PX)):
                tick()
                file.read(window=window.rasterio)
