"""Pixels, shares and hectares of each class in a split, in a scene or in a whole dataset."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from pydantic import Field

from ml.contract import UNLABELLED, ClassDef
from ml.frozen import Frozen

_REST = "unlabelled"  # key beside the names of the classes


class SplitStatistics(Frozen):
    """The classes of a split, of a scene or of a whole dataset, by class name, as a dataset's document shows them.

    pixels: Number of pixels of each class. area_ha: Area of each class in hectares. In both, the key "unlabelled"
    counts the pixels that are not labelled or not valid, unless a class has this name. fraction: Share of each class in
    the labelled pixels, 0 to 1; None if no pixel is labelled. unlabelled_pixels, unlabelled_area_ha: The pixels that
    are not labelled or not valid, whatever the names of the classes; None in documents from before these fields.
    """

    pixels: dict[str, int]
    fraction: dict[str, float | None]
    area_ha: dict[str, float]
    unlabelled_pixels: int | None = Field(None, exclude_if=lambda value: value is None)
    unlabelled_area_ha: float | None = Field(None, exclude_if=lambda value: value is None)


@dataclass
class ClassCounts:
    """Pixels and area counted so far by class value; index 255 counts what is not labelled or not valid.

    pixels: Number of pixels, int64 (256,). area_ha: Hectares, float64 (256,).
    """

    pixels: np.ndarray = field(default_factory=lambda: np.zeros(256, dtype=np.int64))
    area_ha: np.ndarray = field(default_factory=lambda: np.zeros(256))

    def add(self, pixels: np.ndarray, area_ha: np.ndarray) -> None:
        """Add the pixels and hectares that `ml.geo.areas.count_by_class` returned."""
        self.pixels += pixels
        self.area_ha += area_ha

    @property
    def labelled(self) -> bool:
        """Whether any pixel counted so far is labelled."""
        return bool(self.pixels[:UNLABELLED].any())

    def statistics(self, classes: Sequence[ClassDef]) -> SplitStatistics:
        """The counts as statistics for a dataset's document."""
        values = {item.name: item.value for item in classes}
        labelled = int(sum(self.pixels[value] for value in values.values()))
        everything = values if _REST in values else values | {_REST: UNLABELLED}
        return SplitStatistics(
            pixels={name: int(self.pixels[value]) for name, value in everything.items()},
            fraction={n: float(self.pixels[v] / labelled) if labelled else None for n, v in values.items()},
            area_ha={name: float(self.area_ha[value]) for name, value in everything.items()},
            unlabelled_pixels=int(self.pixels[UNLABELLED]),
            unlabelled_area_ha=float(self.area_ha[UNLABELLED]),
        )


def together(parts: Iterable[ClassCounts]) -> ClassCounts:
    """The sum of all `parts`."""
    total = ClassCounts()
    for part in parts:
        total.add(part.pixels, part.area_ha)
    return total
