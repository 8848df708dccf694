"""How well a map agrees with the truth, from counts alone: pooled first, divided last."""

from collections.abc import Iterator
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ml.model import Frozen

Counts = NDArray[np.int64]
Confusion = tuple[tuple[int, int], tuple[int, int]]  # ((tn, fp), (fn, tp))


class Metrics(Frozen):
    """The agreement of a binary map with its truth; iou, precision, recall and f1 are those of class 1.

    A figure whose denominator is 0 is None (an empty union has no IoU), never a silent 0 or 1.
    confusion: pixels, ((tn, fp), (fn, tp)).
    """

    accuracy: float | None
    iou: float | None
    kappa: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    confusion: Confusion

    @classmethod
    def from_confusion(cls, counts: Counts) -> Self:
        """The metrics of `counts`, shape (2, 2), rows truth, columns prediction.

        kappa = (accuracy - pe) / (1 - pe), pe = the agreement that chance alone would give (Cohen 1960).
        """
        (tn, fp), (fn, tp) = ((int(a), int(b)) for a, b in counts)
        n = tn + fp + fn + tp
        chance = (tp + fp) * (tp + fn) + (fn + tn) * (fp + tn)  # pe * n^2, exact in integers of any size
        return cls(
            accuracy=_ratio(tp + tn, n),
            iou=_ratio(tp, tp + fp + fn),
            kappa=_ratio((tp + tn) * n - chance, n * n - chance),
            precision=_ratio(tp, tp + fp),
            recall=_ratio(tp, tp + fn),
            f1=_ratio(2 * tp, 2 * tp + fp + fn),
            confusion=((tn, fp), (fn, tp)),
        )


def confusion(truth: NDArray[np.uint8], predicted: NDArray[np.uint8], classes: int = 2, ignore: int = 255) -> Counts:
    """Pixels by true class (rows) and predicted class (columns), shape (classes, classes).

    truth, predicted: one shape, values below `classes` or `ignore`; a pixel that is `ignore` in either is not counted.
    Raises ValueError for any other value.
    """
    truth_is = [truth == value for value in range(classes)]
    predicted_is = [predicted == value for value in range(classes)]
    counts = np.array([[np.count_nonzero(t & p) for p in predicted_is] for t in truth_is], dtype=np.int64)
    if counts.sum() != np.count_nonzero((truth != ignore) & (predicted != ignore)):
        raise ValueError(f"a class is neither below {classes} nor {ignore} (unlabelled)")
    return counts


def block_confusions(truth: NDArray[np.uint8], predicted: NDArray[np.uint8], block_px: int = 256) -> Iterator[Counts]:
    """The confusion of each block of `block_px` x `block_px` pixels that has a counted pixel.

    Neighbouring pixels err together; blocks far larger than a field are nearly independent, which is what a
    bootstrap needs. truth, predicted: shape (rows, cols).
    """
    for row in range(0, truth.shape[0], block_px):
        for col in range(0, truth.shape[1], block_px):
            block = np.s_[row : row + block_px, col : col + block_px]
            counts = confusion(truth[block], predicted[block])
            if counts.any():
                yield counts


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
