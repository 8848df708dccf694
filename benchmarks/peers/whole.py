"""The reference: the net on the whole image at once, or, because of memory, on a corner of a large scene."""

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from rasterio.windows import Window

from benchmarks.peers.files import NAME
from benchmarks.peers.model import mean_and_std
from benchmarks.peers.net import load_net

CORNER_PX = 2048
_BEYOND_PX = 128  # more than a net of depth 4 sees, so that the inner edges of the corner are those of the whole image


def predict(scene: str, model: str, out: str) -> str:
    """Write the classes of the first `CORNER_PX` rows and columns of a scene, without a place on the ground."""
    mean, std = mean_and_std(model)
    with rasterio.open(scene) as file:
        rows, cols = (min(side, CORNER_PX + _BEYOND_PX) for side in file.shape)
        image = torch.from_numpy((file.read(window=Window(0, 0, cols, rows)) - mean) / std)
    with torch.inference_mode():
        logits = load_net(model)(image[None])[0, 0, :CORNER_PX, :CORNER_PX]
    path = f"{out}/{NAME}"
    shape = {"height": logits.shape[0], "width": logits.shape[1], "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", driver="GTiff", compress="deflate", **shape) as file:
        file.write((logits >= 0).numpy().astype(np.uint8), 1)
    return path


def difference_ppm(reference: str, map_: str) -> float:
    """Pixels of a map that differ from the reference, in parts per million of the pixels of the reference."""
    expected: NDArray[np.uint8]
    found: NDArray[np.uint8]
    with rasterio.open(reference) as file:
        expected = file.read(1)
    with rasterio.open(map_) as file:
        found = file.read(1, window=Window(0, 0, expected.shape[1], expected.shape[0]))
    return 1e6 * float(np.mean(expected != found))
