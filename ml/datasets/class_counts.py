"""What a part of a dataset holds: pixels, shares and hectares of each class."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ml.contract import UNLABELLED, ClassDef
from ml.frozen import Frozen


class SplitStatistics(Frozen):
    """What a part of a dataset holds, by class name, for a dataset's document.

    pixels, area_ha: "unlabelled" has the pixels that are not labelled or not valid. fraction: share of the labelled
    pixels, None where there is none.
    """

    pixels: dict[str, int]
    fraction: dict[str, float | None]
    area_ha: dict[str, float]


@dataclass
class ClassCounts:
    """Found so far by class value: pixels, int64 (256,), and area_ha, float64 (256,); 255 is what is not labelled."""

    pixels: np.ndarray = field(default_factory=lambda: np.zeros(256, dtype=np.int64))
    area_ha: np.ndarray = field(default_factory=lambda: np.zeros(256))

    def add(self, pixels: np.ndarray, area_ha: np.ndarray) -> None:
        """Take in what `count_by_class` found."""
        self.pixels += pixels
        self.area_ha += area_ha

    @property
    def labelled(self) -> bool:
        """Whether any pixel is."""
        return bool(self.pixels[:UNLABELLED].any())

    def statistics(self, classes: Sequence[ClassDef]) -> SplitStatistics:
        """For a dataset's document."""
        values = {item.name: item.value for item in classes}
        labelled = int(sum(self.pixels[value] for value in values.values()))
        everything = values | {"unlabelled": UNLABELLED}
        return SplitStatistics(
            pixels={name: int(self.pixels[value]) for name, value in everything.items()},
            fraction={n: float(self.pixels[v] / labelled) if labelled else None for n, v in values.items()},
            area_ha={name: float(self.area_ha[value]) for name, value in everything.items()},
        )


def together(tallies: Iterable[ClassCounts]) -> ClassCounts:
    """The sum of tallies."""
    total = ClassCounts()
    for tally in tallies:
        total.add(tally.pixels, tally.area_ha)
    return total
