"""Metrics of how well a map agrees with the truth, computed from counts that are pooled first and divided last."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from ml.bounded import Count, Rate
from ml.contract import UNLABELLED
from ml.frozen import Frozen
from ml.geo.windows import blocks

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
_CACHED_PX = 1 << 16  # arrays of this number of pixels stay in a core's cache
BLOCK_PX = 256


def _square(rows: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
    if len(rows) < 2 or any(len(row) != len(rows) for row in rows):
        raise ValueError("a confusion has a row and a column for each of two or more classes")
    return rows


# Numbers of pixels; rows are true classes, columns predicted ones, in the order of the contract's classes; with two
# classes: ((tn, fp), (fn, tp))
Confusion = Annotated[tuple[tuple[Count, ...], ...], AfterValidator(_square)]


class ClassMetrics(Frozen):
    """Metrics of one class, with the same meaning as in `Metrics`."""

    iou: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    omission: float | None
    commission: float | None


class Metrics(Frozen):
    """Metrics of how well a map agrees with the truth.

    accuracy and kappa are computed over all classes. iou, precision, recall, f1, omission and commission are those of
    class 1 if there are two classes. If there are more, `by_class` has them in the order of the contract's classes, and
    the fields here are unweighted means over the classes for which they are defined: iou is the mIoU over the classes
    that occur. omission: Share of the true pixels of a class that the map misses, 1 - recall (recall is the producer's
    accuracy). commission: Share of the pixels mapped as a class that are not of it, 1 - precision (precision is the
    user's accuracy). confusion: Counts from which the metrics are computed. boundary_iou: See `ml.evaluation.boundary`.

    A metric whose denominator is 0 is None (an empty union has no IoU), never a silent 0 or 1. It passes no condition
    of a gate, has no mean over trainings, and is a gap in a curve; `standing` says how it is ordered. boundary_iou is
    also None if it was not counted; omission and commission are also None in documents from before they were
    introduced.
    """

    accuracy: Rate | None
    iou: Rate | None
    kappa: Annotated[float, Field(ge=-1, le=1)] | None
    precision: Rate | None
    recall: Rate | None
    f1: Rate | None
    confusion: Confusion
    omission: Rate | None = None
    commission: Rate | None = None
    boundary_iou: Rate | None = None
    by_class: tuple[ClassMetrics, ...] = ()

    @classmethod
    def from_confusion(cls, counts: Counts, *, boundary_iou: float | None = None) -> Self:
        """The metrics of `counts`, shape (classes, classes); rows are true classes, columns predicted ones."""
        return cls(
            **{name: _or_none(value) for name, value in metrics_of(counts).items()},
            confusion=as_confusion(counts),
            boundary_iou=boundary_iou,
            by_class=_by_class(counts) if len(counts) > 2 else (),
        )


class BlockCounts(Frozen):
    """The confusion of one block of a scene. row, col: Position of its upper left pixel in the scene."""

    row: int
    col: int
    confusion: Confusion


def standing(iou: float | None, accuracy: float | None) -> tuple[float, float]:
    """How good an epoch of a training is among the others, to be compared: by IoU, and of equal IoUs by accuracy.

    The IoU of a class is undefined if no pixel is truly of it and none is mapped as it. Then nothing was to be found
    and nothing was found wrongly, so it stands with an IoU of 1. In a split without the class any false positive makes
    the IoU 0, and of such epochs the one with the fewest has the highest accuracy.
    """
    return 1.0 if iou is None else iou, 0.0 if accuracy is None else accuracy


def metrics_of(counts: Counts | Floats) -> dict[str, Floats]:
    """The metrics of many confusions at once, by the names of `Metrics`, each of shape (...), NaN if undefined.

    counts: Pixels, shape (..., classes, classes). kappa = (accuracy - pe) / (1 - pe), where pe is the agreement that is
    expected by chance alone (Cohen 1960).
    """
    agreed, truly, mapped = _margins(counts)
    right, total = agreed.sum(axis=-1), truly.sum(axis=-1)
    chance = (truly * mapped).sum(axis=-1)  # pe * total^2
    overall = {
        "accuracy": _divided(right, total),
        "kappa": _divided(right * total - chance, total**2 - chance),
    }
    binary = counts.shape[-1] == 2
    of_class = {name: v[..., 1] if binary else _mean_of_defined(v) for name, v in class_metrics(counts).items()}
    return overall | of_class


def class_metrics(counts: Counts | Floats) -> dict[str, Floats]:
    """The metrics of each class in many confusions at once, by the names of `ClassMetrics`, each (..., classes).

    counts: Pixels, shape (..., classes, classes). Undefined metrics are NaN.
    """
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

    truth, predicted: Class indices or `UNLABELLED`, arrays of one shape. A pixel that is unlabelled in either is not
    counted.

    Raises:
        ValueError: A value is neither a class index nor `UNLABELLED`.
    """
    total = np.zeros((classes, classes), dtype=np.int64)
    step = max(_CACHED_PX // max(truth[:1].size, 1), 1)
    for first in range(0, len(truth), step):
        rows = truth[first : first + step], predicted[first : first + step]
        counts = _count_two(*rows) if classes == 2 else _count_many(*rows, classes)
        if counts.sum() != np.count_nonzero((rows[0] != UNLABELLED) & (rows[1] != UNLABELLED)):
            raise ValueError(f"a value is neither a class below {classes} nor {UNLABELLED} (unlabelled)")
        total += counts
    return total


def block_confusions(
    truth: NDArray[np.uint8], predicted: NDArray[np.uint8], classes: int = 2, block_px: int = BLOCK_PX
) -> Iterator[BlockCounts]:
    """The confusion of each block of `block_px` x `block_px` pixels that has a counted pixel.

    The errors of neighbouring pixels are not independent. Those of blocks far larger than a field nearly are, as a
    bootstrap requires. truth, predicted: Class indices or `UNLABELLED` of a whole scene, shape (rows, cols).
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
    """The counts, shape (classes, classes), as the tuples that a document stores."""
    return tuple(tuple(row) for row in counts.tolist())


def _divided(part: Floats, whole: Floats) -> Floats:
    """part / whole, or NaN where the whole is 0."""
    quotient: Floats = np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole != 0)
    return quotient


def _mean_of_defined(values: Floats) -> Floats:
    """The mean over the last axis without NaN, or NaN where all values are NaN."""
    defined = ~np.isnan(values)
    return _divided(np.where(defined, values, 0.0).sum(axis=-1), defined.sum(axis=-1))


def _by_class(counts: Counts) -> tuple[ClassMetrics, ...]:
    found = class_metrics(counts)
    return tuple(
        ClassMetrics(**{name: _or_none(of[value]) for name, of in found.items()}) for value in range(len(counts))
    )


def _margins(counts: Counts | Floats) -> tuple[Floats, Floats, Floats]:
    """Pixels of each class that agree, that are truly of it, and that are mapped as it, each of shape (..., classes).

    They are float64, which is exact up to 9e15 pixels.
    """
    numbers = np.asarray(counts, dtype=np.float64)
    return np.diagonal(numbers, axis1=-2, axis2=-1), numbers.sum(axis=-1), numbers.sum(axis=-2)


def _count_two(truth: NDArray[np.uint8], predicted: NDArray[np.uint8]) -> Counts:
    """The confusion of two classes by comparisons, which are faster than bincount for two classes."""
    truth_is, predicted_is = ([values == 0, values == 1] for values in (truth, predicted))
    return np.array([[np.count_nonzero(t & p) for p in predicted_is] for t in truth_is], dtype=np.int64)


def _count_many(truth: NDArray[np.uint8], predicted: NDArray[np.uint8], classes: int) -> Counts:
    """The confusion of any number of classes; pixels with other values are left out."""
    known = (truth < classes) & (predicted < classes)
    pairs = np.where(known, truth.astype(np.uint16) * classes + predicted, classes**2)  # at most 2^16 - 1
    counts: Counts = np.bincount(pairs.ravel(), minlength=classes**2 + 1)
    return counts[:-1].reshape(classes, classes)


def _or_none(value: Floats) -> float | None:
    return None if np.isnan(value) else float(value)
