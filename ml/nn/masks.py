"""Reading masks from disk, and checking that they contain what a training needs."""

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
    """Read the class values in `window` of a mask: uint8 (rows, cols), 255 where a pixel is unlabelled."""
    mask: NDArray[np.uint8] = dataset.read(1, window=window.rasterio)
    return mask


def read_references(dataset: DatasetReader, window: Window) -> NDArray[np.uint8]:
    """Read which reference class the labels give each pixel in `window` of a mask.

    Returns:
        Indices into `TrainingData.references`, uint8 (rows, cols); 255 where the labels name no reference class.
    """
    if dataset.count < 2:
        return np.full((window.rows, window.cols), UNLABELLED, dtype=np.uint8)
    names: NDArray[np.uint8] = dataset.read(2, window=window.rasterio)
    return names


def class_indices(classes: Sequence[ClassDef]) -> NDArray[np.uint8]:
    """Build a table from class values to indices into `classes`: uint8 (256,), 255 for values that are no class."""
    table = np.full(256, UNLABELLED, dtype=np.uint8)
    table[[item.value for item in classes]] = np.arange(len(classes))
    return table


def training_faults(data: TrainingData) -> Iterator[Fault]:
    """Find what makes a training on `data` pointless.

    These are the faults of `learning_faults`, and `unknown_class` for pixels whose class is not in the contract.
    """
    classes = data.contract.classes
    counts = {name: _pixels_by_value(split) for name, split in (("train", data.train), ("val", data.val))}
    known = [item.value for item in classes]
    for name, pixels in counts.items():
        if others := sorted(set(np.flatnonzero(pixels[:UNLABELLED]).tolist()) - set(known)):
            detail = f"The {name} split has pixels with the values {others}, which are not in classes."
            yield Fault("unknown_class", detail, f"Add them to classes, or map them to one of {known}.")
    by_name = {name: {item.name: int(pixels[item.value]) for item in classes} for name, pixels in counts.items()}
    yield from learning_faults([item.name for item in classes], by_name)


def _pixels_by_value(scenes: Sequence[LabelledScene]) -> NDArray[np.int64]:
    counts = np.zeros(256, dtype=np.int64)
    for scene in scenes:
        with open_raster(scene.mask) as dataset:
            for block in blocks(*dataset.shape, block_px=2048):
                counts += np.bincount(read_mask(dataset, block).ravel(), minlength=256)
    return counts
