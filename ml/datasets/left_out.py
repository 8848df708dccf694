"""Labels that a dataset leaves out: their counts by class, and notes where that is most of a class."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ml.contract import ClassDef
from ml.datasets.splits import NO_SPLIT, Owners
from ml.faults import Note
from ml.labels.features import NO_FEATURE
from ml.labels.rasterise import RasterisedLabels
from ml.text import first_few

Counts = NDArray[np.int64]  # (256,): pixels by class value


def _none() -> Counts:
    return np.zeros(256, dtype=np.int64)


@dataclass
class LeftOut:
    """Labelled pixels by class value, each int64 (256,).

    between, split: Pixels with data between the splits of a scene, and in a split. blank, drawn: Pixels of polygons and
    masks, but not of the background, where the scene has no data, and where it has data.
    """

    between: Counts = field(default_factory=_none)
    split: Counts = field(default_factory=_none)
    blank: Counts = field(default_factory=_none)
    drawn: Counts = field(default_factory=_none)

    def add(self, labels: RasterisedLabels, owners: Owners, valid: NDArray[np.bool_]) -> None:
        """Count the labels in one window of a scene that is in a split.

        owners: Index of the split of each pixel, int8 (rows, cols). valid: Whether a pixel has data, bool (rows, cols).
        """
        free, drawn = owners == NO_SPLIT, labels.feature != NO_FEATURE
        for counts, where in (
            (self.between, valid & free),
            (self.split, valid & ~free),
            (self.blank, drawn & ~valid),
            (self.drawn, drawn & valid),
        ):
            counts += np.bincount(labels.classes[where], minlength=256)

    def notes(self, classes: Sequence[ClassDef]) -> Iterator[Note]:
        """wide_buffer, labels_without_data: Most of a class is left out for this reason."""
        if lost := _most(self.between, self.split, classes):
            detail = f"The buffer between the splits takes most of a class: {first_few(lost)}."
            hint = "Use larger blocks, a smaller buffer, or a split by scenes."
            yield Note(code="wide_buffer", detail=detail, hint=hint)
        if lost := _most(self.blank, self.drawn, classes):
            detail = f"Most labels of a class lie where the scenes have no data: {first_few(lost)}."
            hint = "Check the nodata value of the scenes: it may be a value that this class has, like 0 of dark water."
            yield Note(code="labels_without_data", detail=detail, hint=hint)


def _most(lost: Counts, kept: Counts, classes: Sequence[ClassDef]) -> list[str]:
    """The classes of which more is lost than kept, each with its numbers."""
    return [
        f"{lost[item.value]:,} of {lost[item.value] + kept[item.value]:,} px of {item.name}"
        for item in classes
        if lost[item.value] > kept[item.value]
    ]
