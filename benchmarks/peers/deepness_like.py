"""Deepness-like: the QGIS plugin's segmentation. ONNX Runtime, one tile after another, cut at the middle of overlaps.

The plugin's canvas, projections and polygons are left out. It never sees torch: `export` writes beforehand, beside the
checkpoint, the file that its user would load.
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
    """As all peers; what a tile needs beyond the scene is 0 in the scene's own numbers."""
    session = onnxruntime.InferenceSession(Path(model).with_suffix(".onnx"), providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()
    mean, std = mean_and_std(model)
    with rasterio.open(scene) as source:
        height, width = source.shape
        tiles_down, tiles_across = (1 + -(-max(0, side - TILE_PX) // STRIDE_PX) for side in source.shape)
        canvas = np.zeros(_padded(tiles_down, tiles_across), np.uint8)
        for down in range(tiles_down):
            for across in range(tiles_across):
                row, col = down * STRIDE_PX, across * STRIDE_PX
                tile = (_bands(source, row, col) - mean) / std
                (logits,) = session.run(None, {entry.name: tile[None]})
                rows, cols = _kept(down, tiles_down), _kept(across, tiles_across)
                place = _shifted(rows, row), _shifted(cols, col)
                canvas[place] = logits[0, 0, rows, cols] >= 0
    return write_map(canvas[:height, :width], scene, out)


def _padded(tiles_down: int, tiles_across: int) -> tuple[int, int]:
    return (tiles_down - 1) * STRIDE_PX + TILE_PX, (tiles_across - 1) * STRIDE_PX + TILE_PX


def _bands(source: rasterio.io.DatasetReader, row: int, col: int) -> NDArray[np.uint16]:
    """Band by band, as QGIS hands out blocks: uint16 (bands, TILE_PX, TILE_PX)."""
    window = Window(col, row, TILE_PX, TILE_PX)
    return np.stack([source.read(band, window=window, boundless=True, fill_value=0) for band in source.indexes])


def _kept(index: int, count: int) -> slice:
    """Of a tile's side, what no neighbour gives: half of each overlap, all at the scene's edge."""
    return slice(OVERLAP_PX // 2 * (index > 0), TILE_PX - OVERLAP_PX // 2 * (index < count - 1))


def _shifted(part: slice, by: int) -> slice:
    return slice(part.start + by, part.stop + by)
