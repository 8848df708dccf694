"""The files that Python and the libraries need: a process can read them after it has given up all others."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import app

_DATA_FOLDERS = ("GDAL_DATA", "PROJ_DATA", "PROJ_LIB")  # where an operator keeps the tables of these libraries
# beside Python's own folders: libraries, their settings, time zones, and the devices that libraries read
_SYSTEM = (
    *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share/zoneinfo", "/usr/share/proj"),
    *("/usr/share/gdal", "/etc/ld.so.cache", "/etc/localtime", "/dev/null", "/dev/zero", "/dev/urandom"),
)


def libraries() -> Iterator[Path]:
    """The folders of Python, of the installed packages and of the libraries of the system."""
    yield from map(Path, {sys.prefix, sys.base_prefix, *(path for path in sys.path if path.endswith("-packages"))})
    yield from map(Path, _SYSTEM)
    yield from (Path(os.environ[name]) for name in _DATA_FOLDERS if name in os.environ)


def source(*packages: str) -> Iterator[Path]:
    """The folders of some packages of canemap; no other folder of its source."""
    yield from (Path(app.__file__).parents[1] / package for package in packages)
