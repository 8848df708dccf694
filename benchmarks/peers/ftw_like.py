"""FTW-like: Fields of The World's inference. TorchGeo's chips of 1024 px, 64 px cut off where another chip follows."""

import numpy as np
import rasterio

from benchmarks.peers.files import write_map
from benchmarks.peers.torchgeo_grid import chips

_SIZES, _BATCH = (1024, 512, 256, 128), 2


def predict(scene: str, model: str, out: str) -> str:
    """Map a scene as all peers do; chips are smaller where the scene is smaller than a chip."""
    with rasterio.open(scene) as source:
        classes = np.zeros(source.shape, np.uint8)
    rows, cols = classes.shape
    size = next(side for side in _SIZES if side <= min(rows, cols))
    cut = size // 16
    for chip, (row, col) in chips(scene, model, size=size, stride=size - 2 * cut, batch=_BATCH):
        top, left = max(0, row + cut * (row > 0)), max(0, col + cut * (col > 0))
        bottom = min(rows, row + size - cut * (row + size < rows))
        right = min(cols, col + size - cut * (col + size < cols))
        classes[top:bottom, left:right] = chip[top - row : bottom - row, left - col : right - col]
    return write_map(classes, scene, out, compress="lzw", predictor=2)
