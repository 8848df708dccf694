"""Masks on disk: reading them, and what a training cannot do without in them."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from rasterio.io import DatasetReader

from ml.contract import UNLABELLED, ClassDef
from ml.data import LabelledScene, TrainingData
from ml.datasets.checks import learning_faults
from ml.faults import Fault
from ml.geo.raster import open_raster
from ml.geo.windows import Window, blocks


def read_mask(dataset: DatasetReader, window: Window) -> NDArray[np.uint8]:
    """Class values, uint8 (rows, cols), 255 where unlabelled."""
    mask: NDArray[np.uint8] = dataset.read(1, window=window.rasterio)
    return mask


def read_references(dataset: DatasetReader, window: Window) -> NDArray[np.uint8]:
    """Index of what the labels call each pixel, uint8 (rows, cols), 255 where they name nothing."""
    if dataset.count < 2:
        return np.full((window.rows, window.cols), UNLABELLED, dtype=np.uint8)
    names: NDArray[np.uint8] = dataset.read(2, window=window.rasterio)
    return names


def class_indices(classes: Sequence[ClassDef]) -> NDArray[np.uint8]:
    """From class value to index into `classes`, uint8 (256,); 255 for what is no class."""
    table = np.full(256, UNLABELLED, dtype=np.uint8)
    table[[item.value for item in classes]] = np.arange(len(classes))
    return table


def training_faults(data: TrainingData) -> Iterator[Fault]:
    """What makes a training on `data` pointless: `learning_faults`, and unknown_class, a class that nobody named."""
    classes = data.contract.classes
    counts = {name: _pixels_by_value(split) for name, split in (("train", data.train), ("val", data.val))}
    known = [item.value for item in classes]
    for name, pixels in counts.items():
        if others := sorted(set(np.flatnonzero(pixels[:UNLABELLED]).tolist()) - set(known)):
            hint = f"Name them in classes, or map them to one of {known}."
            yield Fault("unknown_class", f"The {name} split has pixels of the classes {others}.", hint)
    by_name = {name: {item.name: int(pixels[item.value]) for item in classes} for name, pixels in counts.items()}
    yield from learning_faults([item.name for item in classes], by_name)


def _pixels_by_value(scenes: Sequence[LabelledScene]) -> NDArray[np.int64]:
    counts = np.zeros(256, dtype=np.int64)
    for scene in scenes:
        with open_raster(scene.mask) as dataset:
            for block in blocks(*dataset.shape, block_px=2048):
                counts += np.bincount(read_mask(dataset, block).ravel(), minlength=256)
    return counts
