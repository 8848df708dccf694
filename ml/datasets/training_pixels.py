"""The pixels of the training split: their statistics, and whether a rule that is made for all of them hides a class."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ml.contract import UNLABELLED, BandStatistics, ClassDef
from ml.datasets.unusable_chips import CLOUD_STD, MOST
from ml.faults import Note
from ml.geo.statistics import OUTLIERS, ClippedStatistics, EvenSample

_OF_CLASS = 20_000  # largest size of the sample of a class
Samples = dict[str, NDArray[np.float32]]  # by class name: some of its pixels, shape (bands, pixels)


class TrainingPixels:
    """Statistics of all valid pixels of the training split, and an even sample of the labelled ones of each class."""

    def __init__(self, bands: int) -> None:
        self._bands, self._all = bands, ClippedStatistics(bands)
        self._of_class: dict[int, EvenSample] = {}

    def update(self, image: np.ndarray, valid: np.ndarray, classes: np.ndarray) -> None:
        """Add the valid pixels of a window.

        image: Pixels, shape (bands, rows, cols). valid: Whether a pixel is of the training split and has data, bool
        (rows, cols). classes: Class values, uint8 (rows, cols), 255 where a pixel is not labelled.
        """
        self._all.update(image, valid)
        labelled = valid & (classes != UNLABELLED)
        for value in np.flatnonzero(np.bincount(classes[labelled], minlength=256)).tolist():
            sample = self._of_class.setdefault(value, EvenSample(self._bands, _OF_CLASS))
            sample.update(image, labelled & (classes == value))

    def statistics(self, classes: Sequence[ClassDef], *, clip: bool) -> tuple[tuple[BandStatistics, ...], list[Note]]:
        """The statistics of each band for the contract, and notes about classes that differ much from the other pixels.

        clip: Whether the statistics have limits beyond which values are clipped. No class is flattened by them: a limit
        is moved outwards where more than half of the pixels of a class lie beyond it.
        """
        samples = {item.name: self._of_class[item.value].pixels() for item in classes if item.value in self._of_class}
        plain = self._all.statistics(clip=clip)
        wide, notes = list[BandStatistics](), list[Note]()
        for number, band in enumerate(plain):
            beyond = {name: pixels[number] for name, pixels in samples.items() if _beyond(band, pixels[number])}
            wide.append(_widened(band, [*beyond.values()]))
            notes += [_clip_note(number + 1, band, wide[-1], [*beyond])] if beyond else []
        return tuple(wide), [*notes, *_bright_notes(plain, samples)]


def _beyond(band: BandStatistics, values: NDArray[np.float32]) -> bool:
    """Whether most of the pixels of a class lie beyond the limits of a band; values: Of a sample, shape (pixels,)."""
    if band.low is None or band.high is None:
        return False
    return bool(np.mean((values < band.low) | (values > band.high)) > MOST)


def _widened(band: BandStatistics, classes: Sequence[NDArray[np.float32]]) -> BandStatistics:
    """The statistics of a band with limits beyond which only the outliers of each of `classes` lie, too."""
    ends = [np.quantile(values.astype(np.float64), [OUTLIERS, 1 - OUTLIERS]).tolist() for values in classes]
    if band.low is None or band.high is None or not ends:
        return band
    lows, highs = zip(*ends, strict=True)
    return band.model_copy(update={"low": min(band.low, *lows), "high": max(band.high, *highs)})


def _clip_note(number: int, before: BandStatistics, after: BandStatistics, names: Sequence[str]) -> Note:
    limits = f"{after.low:g} to {after.high:g} instead of {before.low:g} to {before.high:g}"
    detail = f"Band {number} is clipped to {limits}, because most of {', '.join(names)} lies beyond."
    hint = "Check that the labels of this class do not lie on outliers, like glint or dead pixels."
    return Note(code="wide_limits", detail=detail, hint=hint)


def _bright_notes(bands: Sequence[BandStatistics], samples: Samples) -> Iterator[Note]:
    limits = np.array([[band.mean + CLOUD_STD * band.std] for band in bands])
    for name, sample in samples.items():
        share = float(np.mean((sample > limits).all(axis=0)))
        if share > MOST:
            detail = f"{100 * share:.0f} % of the training pixels of {name} are as bright as cloud in every band."
            hint = "Check that they are not under cloud. Trainings use them, and warn if they fill whole chips."
            yield Note(code="bright_class", detail=detail, hint=hint)
