"""Settings that make GDAL safe for untrusted files: it opens local GeoTIFFs and nothing else.

GDAL reads its environment once, when it starts. Most of these settings have no effect in `rasterio.Env` later.
"""

import ctypes
import os
import sys

# A file named x.tif may contain a VRT or a WMS description: such formats read other files or fetch from the network
# when they are opened. So these drivers stay, and all others that this build of GDAL has go. "Memory" is where GDAL
# before 3.11 traces polygons.
DRIVERS = frozenset({"GTiff", "COG", "MEM", "Memory"})

_LOCKED = {
    "GDAL_SKIP": "",
    "GDAL_DRIVER_PATH": "disable",
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # ignores .ovr, .msk, .aux.xml and .tfw files
    "GDAL_GEOREF_SOURCES": "INTERNAL",
    "GDAL_PAM_ENABLED": "NO",
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".none",
    "PROJ_NETWORK": "OFF",
}

_TUNED = {
    "GDAL_CACHEMAX": "256",  # MB: two rows of 1024-px windows of a scene with 16,000 columns, 4 bands, uint16
    "GDAL_NUM_THREADS": "ALL_CPUS",  # decompresses blocks in parallel: 520 instead of 180 MB/s on two cores
    "COG_TMP_COMPRESSION": "NONE",  # for overviews before they go into a COG: compressing them took a third of the time
}


def harden() -> None:
    """Set GDAL's environment variables, start it, and remove its unsafe drivers. Call it before rasterio is imported.

    It overrides the variables that matter for safety, but not those for tuning that are already set.
    """
    os.environ.update(_LOCKED)
    for name, value in _TUNED.items():
        os.environ.setdefault(name, value)
    _remove_drivers()


def _remove_drivers() -> None:
    """Remove all drivers but `DRIVERS`. rasterio cannot, so GDAL's own functions are called."""
    _import_rasterio()
    from rasterio import _env
    from rasterio.env import Env

    gdal = ctypes.CDLL(_env.__file__)  # finds the functions of the GDAL that this module is linked to
    gdal.GDALGetDriverByName.restype = ctypes.c_void_p
    gdal.GDALDeregisterDriver.argtypes = [ctypes.c_void_p]
    with Env() as environment:  # registers all drivers, once in a process
        for name in environment.drivers().keys() - DRIVERS:
            gdal.GDALDeregisterDriver(gdal.GDALGetDriverByName(name.encode()))


def _import_rasterio() -> None:
    """Import rasterio without boto3, if nothing has imported that yet: it takes a tenth of the time of a start.

    rasterio finds with it the keys of buckets, which these settings forbid GDAL to read, and works without it.
    """
    without = "boto3" not in sys.modules
    if without:
        sys.modules["boto3"] = None  # type: ignore[assignment]  # so `import boto3` raises ImportError
    try:
        import rasterio  # noqa: F401
    finally:
        if without:
            del sys.modules["boto3"]
