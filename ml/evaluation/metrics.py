"""How well a map agrees with the truth, from counts alone: pooled first, divided last."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator

from ml.contract import UNLABELLED
from ml.frozen import Frozen
from ml.geo.windows import blocks

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
_CACHED_PX = 1 << 16  # what is made of so many pixels stays in a core's cache
BLOCK_PX = 256


def _square(rows: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
    if len(rows) < 2 or any(len(row) != len(rows) for row in rows):
        raise ValueError("a confusion has a row and a column for each of two or more classes")
    return rows


# Pixels, rows truth, columns prediction, in the order of the contract's classes; of two: ((tn, fp), (fn, tp))
Confusion = Annotated[tuple[tuple[int, ...], ...], AfterValidator(_square)]


class ClassMetrics(Frozen):
    """The agreement of one class with its truth, as in `Metrics`."""

    iou: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    omission: float | None
    commission: float | None


class Metrics(Frozen):
    """The agreement of a map with its truth.

    accuracy and kappa are those of all classes. iou, precision, recall, f1, omission and commission are those of
    class 1 where there are two classes. Of more, `by_class` has them in the contract's order, and the figures here are
    their unweighted means over the classes for which they are defined: iou is the mIoU over the classes that occur.
    omission: share of the truth that the map lacks, 1 - recall (recall is the producer's accuracy). commission: share
    of what is mapped that is not so, 1 - precision (the user's accuracy). boundary_iou: see `ml.evaluation.boundary`.
    A figure whose denominator is 0 is None (an empty union has no IoU), never a silent 0 or 1; boundary_iou is None
    also where nobody counted it, as are omission and commission in documents that are older than these.
    """

    accuracy: float | None
    iou: float | None
    kappa: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    confusion: Confusion
    omission: float | None = None
    commission: float | None = None
    boundary_iou: float | None = None
    by_class: tuple[ClassMetrics, ...] = ()

    @classmethod
    def from_confusion(cls, counts: Counts, *, boundary_iou: float | None = None) -> Self:
        """The metrics of `counts`, shape (classes, classes), rows truth, columns prediction."""
        return cls(
            **{name: _or_none(value) for name, value in figures(counts).items()},
            confusion=as_confusion(counts),
            boundary_iou=boundary_iou,
            by_class=_by_class(counts) if len(counts) > 2 else (),
        )


class BlockCounts(Frozen):
    """The confusion of one block of a scene. row, col: its upper left pixel, counted from the scene's."""

    row: int
    col: int
    confusion: Confusion


def figures(counts: Counts | Floats) -> dict[str, Floats]:
    """The figures of `Metrics` from many confusions at once: (..., classes, classes) to (...) each, NaN if undefined.

    kappa = (accuracy - pe) / (1 - pe), pe = the agreement that chance alone would give (Cohen 1960).
    """
    agreed, truly, mapped = _margins(counts)
    right, total = agreed.sum(axis=-1), truly.sum(axis=-1)
    chance = (truly * mapped).sum(axis=-1)  # pe * total^2
    overall = {
        "accuracy": _divided(right, total),
        "kappa": _divided(right * total - chance, total**2 - chance),
    }
    binary = counts.shape[-1] == 2
    of_class = {name: v[..., 1] if binary else _mean_of_defined(v) for name, v in class_figures(counts).items()}
    return overall | of_class


def class_figures(counts: Counts | Floats) -> dict[str, Floats]:
    """The figures of `ClassMetrics` likewise: (..., classes, classes) to (..., classes) each."""
    agreed, truly, mapped = _margins(counts)
    return {
        "iou": _divided(agreed, truly + mapped - agreed),
        "precision": _divided(agreed, mapped),
        "recall": _divided(agreed, truly),
        "f1": _divided(2 * agreed, truly + mapped),
        "omission": _divided(truly - agreed, truly),
        "commission": _divided(mapped - agreed, mapped),
    }


def confusion(truth: NDArray[np.uint8], predicted: NDArray[np.uint8], classes: int = 2) -> Counts:
    """Pixels by true class (rows) and predicted class (columns), shape (classes, classes).

    truth, predicted: one shape, class indices or `UNLABELLED`; a pixel that is unlabelled in either is not counted.
    Raises ValueError for any other value.
    """
    total = np.zeros((classes, classes), dtype=np.int64)
    step = max(_CACHED_PX // max(truth[:1].size, 1), 1)
    for first in range(0, len(truth), step):
        rows = truth[first : first + step], predicted[first : first + step]
        counts = _count_two(*rows) if classes == 2 else _count_many(*rows, classes)
        if counts.sum() != np.count_nonzero((rows[0] != UNLABELLED) & (rows[1] != UNLABELLED)):
            raise ValueError(f"a class is neither below {classes} nor {UNLABELLED} (unlabelled)")
        total += counts
    return total


def block_confusions(
    truth: NDArray[np.uint8], predicted: NDArray[np.uint8], classes: int = 2, block_px: int = BLOCK_PX
) -> Iterator[BlockCounts]:
    """The confusion of each block of `block_px` x `block_px` pixels that has a counted pixel.

    Neighbouring pixels err together; blocks far larger than a field are nearly independent, which is what a
    bootstrap needs. truth, predicted: shape (rows, cols), a whole scene.
    """
    for block in blocks(*truth.shape, block_px=block_px):
        counts = confusion(truth[block.slices], predicted[block.slices], classes)
        if counts.any():
            yield BlockCounts(row=block.row, col=block.col, confusion=as_confusion(counts))


def pooled(parts: Iterable[BlockCounts], classes: int = 2) -> Counts:
    """The sum of the confusions of `parts`, shape (classes, classes)."""
    counts = [np.array(part.confusion, dtype=np.int64) for part in parts]
    return sum(counts, start=np.zeros((classes, classes), dtype=np.int64))


def as_confusion(counts: Counts) -> Confusion:
    """`counts`, shape (classes, classes), as what a document holds."""
    return tuple(tuple(row) for row in counts.tolist())


def _divided(part: Floats, whole: Floats) -> Floats:
    """part / whole, NaN where the whole is 0."""
    quotient: Floats = np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole != 0)
    return quotient


def _mean_of_defined(values: Floats) -> Floats:
    """The mean over the last axis without NaN; NaN where nothing is left."""
    defined = ~np.isnan(values)
    return _divided(np.where(defined, values, 0.0).sum(axis=-1), defined.sum(axis=-1))


def _by_class(counts: Counts) -> tuple[ClassMetrics, ...]:
    found = class_figures(counts)
    return tuple(
        ClassMetrics(**{name: _or_none(of[value]) for name, of in found.items()}) for value in range(len(counts))
    )


def _margins(counts: Counts | Floats) -> tuple[Floats, Floats, Floats]:
    """Pixels of each class that agree, that truly are and that are mapped so; float64 is exact up to 9e15 of them."""
    numbers = np.asarray(counts, dtype=np.float64)
    return np.diagonal(numbers, axis1=-2, axis2=-1), numbers.sum(axis=-1), numbers.sum(axis=-2)


def _count_two(truth: NDArray[np.uint8], predicted: NDArray[np.uint8]) -> Counts:
    """By comparing, which for two classes is faster than bincount."""
    truth_is, predicted_is = ([values == 0, values == 1] for values in (truth, predicted))
    return np.array([[np.count_nonzero(t & p) for p in predicted_is] for t in truth_is], dtype=np.int64)


def _count_many(truth: NDArray[np.uint8], predicted: NDArray[np.uint8], classes: int) -> Counts:
    known = (truth < classes) & (predicted < classes)
    pairs = np.where(known, truth.astype(np.uint16) * classes + predicted, classes**2)  # at most 2^16 - 1
    counts: Counts = np.bincount(pairs.ravel(), minlength=classes**2 + 1)
    return counts[:-1].reshape(classes, classes)


def _or_none(value: Floats) -> float | None:
    return None if np.isnan(value) else float(value)
