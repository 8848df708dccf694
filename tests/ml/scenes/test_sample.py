"""Sampling a scene takes little memory, whatever its file declares."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.windows import Window

from ml.faults import InputRefused
from ml.scenes.inspect import inspect_scene

GRID = {"crs": "EPSG:32648", "transform": Affine(1, 0, 500_000, 0, -1, 2_500_000)}


def sparse_scene(path: Path, side: int, bands: int) -> Path:
    """A tiled file of float64 in which no block has any bytes, so that every pixel is nodata."""
    options = {"tiled": True, "blockxsize": 256, "blockysize": 256, "sparse_ok": True, "nodata": 0}
    with rasterio.open(path, "w", "GTiff", side, side, bands, dtype="float64", **GRID, **options):
        pass
    return path


def test_a_few_bytes_that_declare_gigabytes_take_little_memory(tmp_path: Path) -> None:
    bomb = sparse_scene(tmp_path / "bomb.tif", side=2048, bands=256)
    assert bomb.stat().st_size < 100_000
    tracemalloc.start()
    with pytest.raises(InputRefused) as refused:
        inspect_scene(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [fault.code for fault in refused.value.faults] == ["no_valid_pixels"]
    assert peak < 300e6


def test_the_only_valid_pixel_of_many_bands_is_found(tmp_path: Path) -> None:
    scene = sparse_scene(tmp_path / "scene.tif", side=1100, bands=100)
    with rasterio.open(scene, "r+") as file:
        file.write(np.full((100, 1, 1), 7.0), window=Window(801, 803, 1, 1))
    assert {band.statistics.mean for band in inspect_scene(scene).bands} == {7.0}
