"""Masks on disk: reading them, and what a training cannot do without in them."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from rasterio import windows as rio
from rasterio.io import DatasetReader

from ml.data import LabelledScene, TrainingData
from ml.faults import Fault
from ml.geo.raster import open_raster
from ml.geo.windows import Window, blocks

UNLABELLED = 255


def read_mask(dataset: DatasetReader, window: Window) -> NDArray[np.uint8]:
    """Class values, uint8 (rows, cols), 255 where unlabelled."""
    mask: NDArray[np.uint8] = dataset.read(1, window=rio.Window(window.col, window.row, window.cols, window.rows))
    return mask


def training_faults(data: TrainingData) -> Iterator[Fault]:
    """What makes a training on `data` pointless: nothing labelled, one class only, more than two classes."""
    pixels = {name: _pixels_by_value(split) for name, split in (("train", data.train), ("val", data.val))}
    for name, counts in pixels.items():
        if not counts[:UNLABELLED].any():
            hint = "Put a scene with labels into it, or let labels reach into its scenes."
            yield Fault("no_labels", f"The {name} split has no labelled pixel.", hint)
        if others := [int(value) for value in np.flatnonzero(counts[2:UNLABELLED]) + 2]:
            hint = "Give every class the value 1 (to be mapped) or 0 (anything else)."
            yield Fault("too_many_classes", f"The {name} split has pixels of the classes {others}.", hint)
    if len(present := np.flatnonzero(pixels["train"][:UNLABELLED])) == 1:
        hint = "Add training scenes or labels that have both classes."
        yield Fault("one_class", f"All labelled pixels of the train split are of class {present[0]}.", hint)


def _pixels_by_value(scenes: Sequence[LabelledScene]) -> NDArray[np.int64]:
    counts = np.zeros(256, dtype=np.int64)
    for scene in scenes:
        with open_raster(scene.mask) as dataset:
            for block in blocks(*dataset.shape, block_px=2048):
                counts += np.bincount(read_mask(dataset, block).ravel(), minlength=256)
    return counts
