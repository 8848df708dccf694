"""How many pixels each feature of the labels has in each split."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ml.contract import UNLABELLED
from ml.datasets.splits import NOBODY, SPLITS, Owners
from ml.labels.layers import LabelLayer
from ml.labels.rasterise import RasterisedLabels


@dataclass
class LayerFeatureCounts:
    """One layer. pixels: labelled and valid ones, int64 (features, splits). scene: number of the last with such pixels.

    Both are as long as the features seen so far demand.
    """

    pixels: np.ndarray = field(default_factory=lambda: np.zeros((0, len(SPLITS)), dtype=np.int64))
    scene: np.ndarray = field(default_factory=lambda: np.zeros((0, len(SPLITS)), dtype=np.int32))

    def add(self, scene: int, pixels: np.ndarray) -> None:
        """Take in the pixels of a part of a scene, int64 (features, splits)."""
        if missing := max(0, len(pixels) - len(self.pixels)):
            self.pixels = np.pad(self.pixels, ((0, missing), (0, 0)))
            self.scene = np.pad(self.scene, ((0, missing), (0, 0)))
        self.pixels[: len(pixels)] += pixels
        self.scene[: len(pixels)][pixels > 0] = scene


class FeatureCounts:
    """All layers. layers: in the order of the labels."""

    def __init__(self, layers: int) -> None:
        self.layers = [LayerFeatureCounts() for _ in range(layers)]

    def add(self, scene: int, painted: RasterisedLabels, owners: Owners, valid: np.ndarray) -> None:
        """Count a window of scene number `scene`; valid: bool (rows, cols)."""
        counted = valid & (owners != NOBODY) & (painted.classes != UNLABELLED)
        layer = painted.layer[counted]
        keys = painted.feature[counted] * len(SPLITS) + owners[counted]
        for number in np.unique(layer[layer >= 0]):
            counts = np.bincount(keys[layer == number])
            counts = np.pad(counts, (0, -len(counts) % len(SPLITS)))
            self.layers[number].add(scene, counts.reshape(-1, len(SPLITS)))

    @property
    def pixels(self) -> int:
        """All that were counted."""
        return sum(int(layer.pixels.sum()) for layer in self.layers)

    def by_reference(self, truths: Sequence[LabelLayer]) -> dict[str, int]:
        """Pixels of all splits by what the layers call them, sorted by name; what has no name is left out."""
        total = dict[str, int]()
        for truth, layer in zip(truths, self.layers, strict=True):
            names, pixels = truth.legend.names, layer.pixels.sum(axis=1)
            for feature in np.flatnonzero(pixels).tolist():
                total[names[feature]] = total.get(names[feature], 0) + int(pixels[feature])
        return {name: total[name] for name in sorted(total) if name}
