"""geoai-like: geoai's predict_geotiff with its defaults. Tiles of 256 px, 64 px overlap, blended with spline weights.

Sums of weighted logits and of weights are kept as float64 for the whole scene.
"""

from itertools import product

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from rasterio.windows import Window

from benchmarks.peers.files import write_map
from benchmarks.peers.model import mean_and_std
from benchmarks.peers.net import load_net

TILE_PX, OVERLAP_PX, BATCH = 256, 64, 4
_NO_DIVISION_BY_ZERO = 1e-8


def predict(scene: str, model: str, out: str) -> str:
    """Map a scene as all peers do; the scene must be at least as large as a tile."""
    net = load_net(model)
    mean, std = mean_and_std(model)
    weights = _weights()
    with rasterio.open(scene) as source, torch.inference_mode():
        total, weight = np.zeros(source.shape), np.zeros(source.shape)
        corners = list(product(_starts(source.height), _starts(source.width)))
        for first in range(0, len(corners), BATCH):
            some = corners[first : first + BATCH]
            images = [(source.read(window=Window(col, row, TILE_PX, TILE_PX)) - mean) / std for row, col in some]
            logits = net(torch.from_numpy(np.stack(images)))[:, 0].numpy()
            for tile, (row, col) in zip(logits, some, strict=True):
                place = slice(row, row + TILE_PX), slice(col, col + TILE_PX)
                total[place] += tile * weights
                weight[place] += weights
    classes = (total / (weight + _NO_DIVISION_BY_ZERO) >= 0).astype(np.uint8)
    return write_map(classes, scene, out, compress="lzw")


def _starts(length: int) -> list[int]:
    """First pixel of each tile along one side; the last tiles are moved back into the scene."""
    starts = (min(start, length - TILE_PX) for start in range(0, length, TILE_PX - OVERLAP_PX))
    return list(dict.fromkeys(starts))


def _weights() -> NDArray[np.float32]:
    """Weights of a tile, float32 (TILE_PX, TILE_PX): squared half cosines over the overlap on each side, 1 between."""
    ramp = (0.5 - 0.5 * np.cos(np.pi * np.arange(1, OVERLAP_PX + 1) / OVERLAP_PX)) ** 2
    side = np.concatenate([ramp, np.ones(TILE_PX - 2 * OVERLAP_PX), ramp[::-1]])
    return np.outer(side, side).astype(np.float32)
