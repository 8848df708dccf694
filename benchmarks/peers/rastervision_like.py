"""Raster Vision-like: a sliding window without overlap; the labels of all windows are kept, then written one by one."""

from itertools import product

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from rasterio.windows import Window
from torch.utils.data import DataLoader, Dataset

from benchmarks.peers.files import NAME, profile_of
from benchmarks.peers.model import Pixels, mean_and_std
from benchmarks.peers.net import load_net

CHIP_PX, BATCH = 512, 8
Corner = tuple[int, int]


class Windows(Dataset[tuple[Pixels, int, int]]):
    """Normalised chips from the top left; pixels outside the scene are 0 before normalisation."""

    def __init__(self, scene: str, model: str) -> None:
        self._source = rasterio.open(scene)
        self._mean, self._std = mean_and_std(model)
        sides = self._source.height, self._source.width
        self.corners = list(product(*(range(0, side, CHIP_PX) for side in sides)))

    def __len__(self) -> int:
        return len(self.corners)

    def __getitem__(self, index: int) -> tuple[Pixels, int, int]:
        row, col = self.corners[index]
        image = self._source.read(window=Window(col, row, CHIP_PX, CHIP_PX), boundless=True, fill_value=0)
        return (image - self._mean) / self._std, row, col


def predict(scene: str, model: str, out: str) -> str:
    """Map a scene as all peers do."""
    net = load_net(model)
    labels: dict[Corner, NDArray[np.uint8]] = {}
    with torch.inference_mode():
        for images, rows, cols in DataLoader(Windows(scene, model), batch_size=BATCH):
            classes = (net(images)[:, 0] >= 0).numpy().astype(np.uint8)
            labels.update(zip(zip(rows.tolist(), cols.tolist(), strict=True), classes, strict=True))
    path = f"{out}/{NAME}"
    with rasterio.open(path, "w", **profile_of(scene)) as target:
        for (row, col), label in labels.items():
            rows, cols = min(CHIP_PX, target.height - row), min(CHIP_PX, target.width - col)
            target.write(label[:rows, :cols], 1, window=Window(col, row, cols, rows))
    return path
