"""Whether a raster that GDAL has written is whole."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

from ml.faults import InputRefused
from ml.geo.raster import open_raster
from ml.geo.windows import blocks

_READ_PX = 2048
_LITTLE = 1 << 20  # beside pixels


@contextmanager
def verified_whole(path: Path, most_bytes: int) -> Iterator[None]:
    """For a block that writes the raster `path` with GDAL: read all of it at the end.

    On a full disk GDAL may close a file that lacks its end, and say nothing; or fail, for a reason that does not name
    the disk, having removed what it had written. most_bytes: what the block can write at most, on the way, too.

    Raises:
        OSError: ENOSPC, it failed or the file cannot be read, and there was less room than `most_bytes`.
    """
    room = shutil.disk_usage(path.parent).free
    try:
        yield
        _read_all(path)
    except (RasterioError, CPLE_BaseError, InputRefused) as error:
        if min(room, shutil.disk_usage(path.parent).free) < most_bytes + _LITTLE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise


def _read_all(path: Path) -> None:
    """Every block, overviews too: what was compressed shows by itself that it is damaged."""
    with open_raster(path) as file:
        levels = len(file.overviews(1))
    for level in (None, *range(levels)):
        with open_raster(path, overview=level) as file:
            for part in blocks(file.height, file.width, block_px=_READ_PX):
                file.read(window=part.rasterio)
