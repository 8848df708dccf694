"""What made a result: the versions of the code and of the libraries that decide its bits."""

import hashlib
import platform
from functools import cache
from importlib.metadata import version
from pathlib import Path

LIBRARIES = ("numpy", "rasterio", "pyproj", "shapely", "scipy", "torch")


@cache
def software() -> dict[str, str]:
    """By name: canemap, `code` (a fingerprint of the sources of `ml`), python, machine, and the libraries."""
    libraries = {name: version(name) for name in LIBRARIES}
    ours = {"canemap": version("canemap"), "code": _fingerprint(), "python": platform.python_version()}
    return ours | {"machine": platform.machine()} | libraries


def _fingerprint() -> str:
    """Of all sources of this package: a version number does not change with each edit."""
    digest = hashlib.sha256()
    folder = Path(__file__).parent
    for path in sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".c")):
        digest.update(path.relative_to(folder).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
