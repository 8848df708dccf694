"""Writes maps to disk."""

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

NAME = "classes.tif"


def profile_of(scene: str, **changes: object) -> dict[str, Any]:
    """Profile of a uint8 map with the grid, blocks and compression of the scene, except for `changes`."""
    with rasterio.open(scene) as source:
        return {**source.profile, "count": 1, "dtype": "uint8", "nodata": 255, **changes}


def write_map(classes: NDArray[np.uint8], scene: str, out: str, **changes: object) -> str:
    """Write classes, uint8 (rows, cols), in one call; the path of the file."""
    path = str(Path(out) / NAME)
    with rasterio.open(path, "w", **profile_of(scene, **changes)) as file:
        file.write(classes, 1)
    return path
