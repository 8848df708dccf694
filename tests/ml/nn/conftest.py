"""Small scenes on disk, with masks, for the tests of training and prediction."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from ml.contract import BandStatistics, Contract
from ml.data import LabelledScene, TrainingData


def write_tiff(path: Path, pixels: np.ndarray, nodata: float | None = None, north: float = 2_500_000) -> Path:
    """Write `pixels`, (bands, rows, cols), to a GeoTIFF with pixels of 10 m in UTM zone 49N.

    north: Northing of the upper edge, in metres.
    """
    bands, rows, cols = pixels.shape
    profile = {"driver": "GTiff", "dtype": pixels.dtype, "count": bands, "height": rows, "width": cols}
    place = {"crs": "EPSG:32649", "transform": Affine(10, 0, 500_000, 0, -10, north)}
    with rasterio.open(path, "w", **profile, **place, nodata=nodata) as file:
        file.write(pixels)
    return path


def write_labelled(
    folder: Path, name: str, pixels: np.ndarray, mask: np.ndarray, nodata: float | None = None, north: float = 2_500_000
) -> LabelledScene:
    """Write a scene of `pixels` (bands, rows, cols) with `mask` (rows, cols) to files in `folder`."""
    return LabelledScene(
        name=name,
        path=write_tiff(folder / f"{name}.tif", pixels, nodata, north),
        mask=write_tiff(folder / f"{name}.mask.tif", mask[None], 255, north),
    )


def contract_of(pixels: np.ndarray, nodata: float | None = None) -> Contract:
    """Make the contract of a training split that consists of `pixels` (bands, rows, cols)."""
    statistics = tuple(
        BandStatistics(mean=float(b.mean()), std=float(b.std()), min=float(b.min()), max=float(b.max())) for b in pixels
    )
    names = tuple(str(i) for i in range(1, len(pixels) + 1))
    return Contract(bands=names, dtype=str(pixels.dtype), gsd=10, nodata=nodata, statistics=statistics)


def fields(seed: int, rows: int, cols: int) -> tuple[np.ndarray, np.ndarray]:
    """Make a uint8 image of 2 bands and its mask, which are easy to learn: fields of class 1 are bright in band 2."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((rows, cols), dtype=np.uint8)
    for _ in range(6):
        row, col = rng.integers(rows - 8), rng.integers(cols - 8)
        mask[row : row + rng.integers(8, 24), col : col + rng.integers(8, 24)] = 1
    image = rng.normal(100, 10, size=(2, rows, cols))
    image[1] += 25 * mask
    return image.round().clip(1, 255).astype(np.uint8), mask


@pytest.fixture
def training_data(tmp_path: Path) -> TrainingData:
    """The data of `easy_world`."""
    return easy_world(tmp_path)


def easy_world(folder: Path) -> TrainingData:
    """Make two training scenes, a validation scene and a test scene, all with nodata and unlabelled pixels."""
    scenes = []
    for seed, (rows, cols) in enumerate([(64, 80), (40, 70), (50, 60), (48, 48)]):
        image, mask = fields(seed, rows, cols)
        image[:, :5, :7] = 0
        mask[-6:] = 255
        scenes.append(write_labelled(folder, f"scene{seed}", image, mask, nodata=0))
    return TrainingData(
        train=tuple(scenes[:2]), val=(scenes[2],), test=(scenes[3],), contract=contract_of(fields(0, 64, 80)[0], 0)
    )
