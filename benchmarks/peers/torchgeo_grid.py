"""TorchGeo: RasterDataset, GridGeoSampler and a DataLoader; chips are placed by their bounds, later ones on top."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader
from torchgeo.datasets import RasterDataset, stack_samples
from torchgeo.samplers import GridGeoSampler

from benchmarks.peers.files import write_map
from benchmarks.peers.model import mean_and_std
from benchmarks.peers.net import load_net

CHIP_PX, STRIDE_PX, BATCH = 512, 448, 4


class Place(NamedTuple):
    """First row and column of a chip; they may be negative or outside the scene where the chip is partly outside."""

    row: int
    col: int


def predict(scene: str, model: str, out: str) -> str:
    """Map a scene as all peers do."""
    with rasterio.open(scene) as source:
        classes = np.zeros(source.shape, np.uint8)
    rows, cols = classes.shape
    for chip, (row, col) in chips(scene, model, size=CHIP_PX, stride=STRIDE_PX, batch=BATCH):
        top, left = max(0, row), max(0, col)
        bottom, right = min(rows, row + CHIP_PX), min(cols, col + CHIP_PX)
        classes[top:bottom, left:right] = chip[top - row : bottom - row, left - col : right - col]
    return write_map(classes, scene, out)


def chips(scene: str, model: str, *, size: int, stride: int, batch: int) -> Iterator[tuple[NDArray[np.uint8], Place]]:
    """Classes of each chip of the grid, uint8 (size, size), and its place; TorchGeo begins in the south."""
    net = load_net(model)
    mean, std = (torch.from_numpy(each) for each in mean_and_std(model))

    def normalised(sample: dict[str, Any]) -> dict[str, Any]:
        return {**sample, "image": (sample["image"] - mean) / std}

    dataset = RasterDataset(paths=[scene], transforms=normalised)
    sampler = GridGeoSampler(dataset, size=size, stride=stride)
    with rasterio.open(scene) as source:
        to_pixel = ~source.transform
    for samples in DataLoader(dataset, sampler=sampler, batch_size=batch, collate_fn=stack_samples):
        with torch.inference_mode():
            classes = (net(samples["image"])[:, 0] >= 0).numpy().astype(np.uint8)
        for chip, (x, y, _) in zip(classes, samples["bounds"], strict=True):
            col, row = to_pixel * (x.start, y.stop)
            yield chip, Place(round(row), round(col))
