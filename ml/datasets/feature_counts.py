"""How many pixels each feature of the labels has in each split."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ml.contract import UNLABELLED
from ml.datasets.splits import NO_SPLIT, SPLITS, Owners
from ml.labels.layers import LabelLayer
from ml.labels.rasterise import RasterisedLabels


@dataclass
class LayerFeatureCounts:
    """The pixels of each feature of one layer of labels in each split.

    pixels: Number of labelled and valid pixels, int64 (features, splits). scene: Index of the last scene with such
    pixels, int32 (features, splits). Both arrays grow when a feature with a higher number is counted.
    """

    pixels: np.ndarray = field(default_factory=lambda: np.zeros((0, len(SPLITS)), dtype=np.int64))
    scene: np.ndarray = field(default_factory=lambda: np.zeros((0, len(SPLITS)), dtype=np.int32))

    def add(self, scene: int, pixels: np.ndarray) -> None:
        """Add the pixels of one window of the scene at index `scene`; pixels: int64 (features, splits)."""
        if missing := max(0, len(pixels) - len(self.pixels)):
            self.pixels = np.pad(self.pixels, ((0, missing), (0, 0)))
            self.scene = np.pad(self.scene, ((0, missing), (0, 0)))
        self.pixels[: len(pixels)] += pixels
        self.scene[: len(pixels)][pixels > 0] = scene


class FeatureCounts:
    """The pixels of each feature of all layers of labels. layers: One entry a layer, in the order of the labels."""

    def __init__(self, layers: int) -> None:
        self.layers = [LayerFeatureCounts() for _ in range(layers)]

    def add(self, scene: int, labels: RasterisedLabels, owners: Owners, valid: np.ndarray) -> None:
        """Count the features in one window of the scene at index `scene`.

        owners: Index of the split of each pixel, int8 (rows, cols). valid: Whether a pixel has data, bool (rows, cols).
        """
        counted = valid & (owners != NO_SPLIT) & (labels.classes != UNLABELLED)
        layer = labels.layer[counted]
        keys = labels.feature[counted] * len(SPLITS) + owners[counted]
        for number in np.unique(layer[layer >= 0]):
            counts = np.bincount(keys[layer == number])
            counts = np.pad(counts, (0, -len(counts) % len(SPLITS)))
            self.layers[number].add(scene, counts.reshape(-1, len(SPLITS)))

    def by_class(self, layers: Sequence[LabelLayer]) -> np.ndarray:
        """Number of all pixels counted so far by class value, int64 (256,)."""
        total = np.zeros(256, dtype=np.int64)
        for layer, counts in zip(layers, self.layers, strict=True):
            np.add.at(total, layer.legend.values[: len(counts.pixels)], counts.pixels.sum(axis=1))
        return total

    def by_reference(self, layers: Sequence[LabelLayer]) -> dict[str, int]:
        """Pixels of all splits by the name that the labels give them, sorted; pixels without a name are left out."""
        total = dict[str, int]()
        for layer, counts in zip(layers, self.layers, strict=True):
            names, pixels = layer.legend.names, counts.pixels.sum(axis=1)
            for feature in np.flatnonzero(pixels).tolist():
                total[names[feature]] = total.get(names[feature], 0) + int(pixels[feature])
        return {name: total[name] for name in sorted(total) if name}
