"""Small GeoTIFFs, written for tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

MakeScene = Callable[..., Path]
GRID = Affine(10, 0, 500_000, 0, -10, 1_200_000)


@pytest.fixture
def make_scene(tmp_path: Path) -> MakeScene:
    """Function make_scene(image, name="scene.tif", ...), which calls `write_scene` in the folder of the test."""
    return lambda image, name="scene.tif", **more: write_scene(tmp_path / name, image, **more)


def write_scene(
    path: Path, image: np.ndarray, crs: str | None = "EPSG:32648", transform: Affine = GRID, **profile: Any
) -> Path:
    """Write `image`, shape (bands, rows, cols), as a GeoTIFF; return its path."""
    bands, rows, cols = image.shape
    shape = {"count": bands, "height": rows, "width": cols, "dtype": image.dtype}
    with rasterio.open(path, "w", driver="GTiff", crs=crs, transform=transform, **shape, **profile) as out:
        out.write(image)
    return path
