"""Deepness-like: the QGIS plugin's segmentation. ONNX Runtime, one tile after another, cut at the middle of overlaps.

The map canvas, projections and polygons of the plugin are left out. This peer does not use torch: before it runs,
`deepness_export.export` writes beside the checkpoint the file that a user of the plugin would load.
"""

from pathlib import Path

import numpy as np
import onnxruntime
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from benchmarks.peers.files import write_map
from benchmarks.peers.model import mean_and_std

TILE_PX, OVERLAP_PX = 512, 76  # 15 %, made even
STRIDE_PX = TILE_PX - OVERLAP_PX


def predict(scene: str, model: str, out: str) -> str:
    """Map a scene as all peers do; pixels of a tile outside the scene are 0 before normalisation."""
    session = onnxruntime.InferenceSession(Path(model).with_suffix(".onnx"), providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()
    mean, std = mean_and_std(model)
    with rasterio.open(scene) as source:
        height, width = source.shape
        tiles_down, tiles_across = (1 + -(-max(0, side - TILE_PX) // STRIDE_PX) for side in source.shape)
        classes = np.zeros(_padded(tiles_down, tiles_across), np.uint8)
        for down in range(tiles_down):
            for across in range(tiles_across):
                row, col = down * STRIDE_PX, across * STRIDE_PX
                tile = (_bands(source, row, col) - mean) / std
                (logits,) = session.run(None, {entry.name: tile[None]})
                rows, cols = _kept(down, tiles_down), _kept(across, tiles_across)
                place = _shifted(rows, row), _shifted(cols, col)
                classes[place] = logits[0, 0, rows, cols] >= 0
    return write_map(classes[:height, :width], scene, out)


def _padded(tiles_down: int, tiles_across: int) -> tuple[int, int]:
    return (tiles_down - 1) * STRIDE_PX + TILE_PX, (tiles_across - 1) * STRIDE_PX + TILE_PX


def _bands(source: rasterio.io.DatasetReader, row: int, col: int) -> NDArray[np.uint16]:
    """Pixels of a tile, uint16 (bands, TILE_PX, TILE_PX), read band by band as QGIS reads blocks."""
    window = Window(col, row, TILE_PX, TILE_PX)
    return np.stack([source.read(band, window=window, boundless=True, fill_value=0) for band in source.indexes])


def _kept(index: int, count: int) -> slice:
    """The range of a side of a tile that is kept: half of each overlap, and all of it at the edge of the scene."""
    return slice(OVERLAP_PX // 2 * (index > 0), TILE_PX - OVERLAP_PX // 2 * (index < count - 1))


def _shifted(part: slice, by: int) -> slice:
    return slice(part.start + by, part.stop + by)
