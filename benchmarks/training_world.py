"""Makes a labelled scene of noise for benchmarks of training, as files and as a decoded scene."""

import copy
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
import torch
from affine import Affine
from numpy.typing import NDArray
from torch import nn

from ml.config import TrainConfig
from ml.contract import BandStatistics, Contract
from ml.data import LabelledScene, TrainingData
from ml.nn.training.decoded_scenes import CachedScene, cache_scene

MEAN, STD = 1000.0, 300.0


class World(NamedTuple):
    """A labelled scene of noise.

    pixels: uint16 (4, n, n). mask: uint8 (n, n), 0 and 1 in squares. image, labels: pixels and mask as GeoTIFFs.
    """

    pixels: NDArray[np.uint16]
    mask: NDArray[np.uint8]
    image: Path
    labels: Path
    data: TrainingData
    cached: CachedScene


def make_world(folder: Path, n: int) -> World:
    """Make a scene of n x n pixels with files in `folder`, tiled by 512 and deflated like usual satellite scenes."""
    random = np.random.default_rng(0)
    mask = random.integers(0, 2, (n // 32, n // 32), dtype=np.uint8).repeat(32, axis=0).repeat(32, axis=1)
    pixels = (random.normal(MEAN, STD, (4, n, n)) + 300.0 * mask).clip(1, 4000).astype(np.uint16)
    image, labels = folder / "image.tif", folder / "labels.tif"
    _write(image, pixels)
    _write(labels, mask[None])
    band = BandStatistics(mean=MEAN, std=STD, min=1, max=4000)
    contract = Contract(bands=("1", "2", "3", "4"), dtype="uint16", gsd=10, nodata=None, statistics=(band,) * 4)
    scene = LabelledScene(name="scene", path=image, mask=labels)
    data = TrainingData(train=(scene,), val=(scene,), contract=contract)
    return World(pixels, mask, image, labels, data, cache_scene(scene, contract, folder / "cache"))


def _write(path: Path, pixels: NDArray[np.uint16] | NDArray[np.uint8]) -> None:
    count, height, width = pixels.shape
    profile = {"driver": "GTiff", "dtype": pixels.dtype, "count": count, "height": height, "width": width}
    layout = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate"}
    place = {"crs": "EPSG:32649", "transform": Affine(10, 0, 500_000, 0, -10, 2_500_000)}
    with rasterio.open(path, "w", **profile, **layout, **place) as file:
        file.write(pixels)


def twin(net: nn.Module, config: TrainConfig) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A copy of `net` with the same weights, and an AdamW with the settings of `config`, for one loop."""
    own = copy.deepcopy(net).train()
    return own, torch.optim.AdamW(own.parameters(), config.optimizer.lr, weight_decay=config.optimizer.weight_decay)
