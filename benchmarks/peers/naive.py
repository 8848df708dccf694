"""The script that most users write first: windows with a fixed overlap are read, mapped, cropped and written."""

import numpy as np
import rasterio
import torch
from rasterio.windows import Window

from benchmarks.peers.files import NAME, profile_of
from benchmarks.peers.model import mean_and_std
from benchmarks.peers.net import load_net

CORE_PX, OVERLAP_PX = 512, 64


def predict(scene: str, model: str, out: str) -> str:
    """Map a scene as all peers do; pixels of a window outside the scene are 0 after normalisation."""
    net = load_net(model)
    mean, std = mean_and_std(model)
    path = f"{out}/{NAME}"
    with (
        rasterio.open(scene) as source,
        rasterio.open(path, "w", **profile_of(scene)) as target,
        torch.inference_mode(),
    ):
        for row in range(0, source.height, CORE_PX):
            for col in range(0, source.width, CORE_PX):
                top, left = max(0, row - OVERLAP_PX), max(0, col - OVERLAP_PX)
                bottom = min(source.height, row + CORE_PX + OVERLAP_PX)
                right = min(source.width, col + CORE_PX + OVERLAP_PX)
                image = (source.read(window=Window(left, top, right - left, bottom - top)) - mean) / std
                logits = net(torch.from_numpy(_padded(image))[None])[0, 0]
                rows, cols = min(CORE_PX, source.height - row), min(CORE_PX, source.width - col)
                core = logits[row - top : row - top + rows, col - left : col - left + cols]
                target.write((core >= 0).numpy().astype(np.uint8), 1, window=Window(col, row, cols, rows))
    return path


def _padded(image: np.ndarray) -> np.ndarray:
    """The image with zeros added on the right and below, up to multiples of 16."""
    return np.pad(image, ((0, 0), (0, -image.shape[1] % 16), (0, -image.shape[2] % 16)))
