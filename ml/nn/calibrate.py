"""Calibration of a net by its logits on labelled scenes."""

import numpy as np
from numpy.typing import NDArray

from ml.contract import UNLABELLED
from ml.evaluation.calibration import Calibrated, Calibration, reliability, temperature_of
from ml.nn.evaluate import EvaluatedWindow

_LOGITS_BYTES = 16 << 20  # that are kept of a split: 4 million pixels of a net with one output
_WHOLE = 1 << 32


class LogitSample:
    """The logits and labels of a split: of all labelled pixels or, of many, of some that are chosen by their place.

    Call it with each window of the split. The choice depends on nothing but row and column, so it is the same however
    the scenes are divided into windows.
    """

    def __init__(self, pixels: int, outputs: int) -> None:
        """Prepare the sample.

        pixels: Number of pixels of the split, labelled or not. outputs: Number of outputs of the net.
        """
        most = _LOGITS_BYTES // (4 * outputs)
        self._below = _WHOLE if pixels <= most else most * _WHOLE // pixels
        self._logits, self._truth = [np.empty((outputs, 0), np.float32)], [np.empty(0, np.uint8)]

    def __call__(self, piece: EvaluatedWindow) -> None:
        """Add the chosen pixels of a window."""
        chosen = piece.truth != UNLABELLED
        if self._below < _WHOLE:
            chosen &= _hashed(piece) < self._below
        self._logits.append(piece.logits.cpu().numpy()[:, chosen])
        self._truth.append(piece.truth[chosen])

    def logits(self) -> NDArray[np.float32]:
        """The logits, float32 (outputs, pixels)."""
        return np.concatenate(self._logits, axis=1)

    def truth(self) -> NDArray[np.uint8]:
        """The class indices of the labels, uint8 (pixels)."""
        return np.concatenate(self._truth)


def calibration(val: LogitSample, test: LogitSample | None = None) -> Calibration:
    """The temperature that suits the split `val`, and the reliability with and without it on `val` and `test`."""
    temperature = temperature_of(val.logits(), val.truth())

    def calibrated(split: LogitSample) -> Calibrated:
        logits, truth = split.logits(), split.truth()
        return Calibrated(before=reliability(logits, truth), after=reliability(logits, truth, temperature))

    return Calibration(temperature=temperature, val=calibrated(val), test=calibrated(test) if test else None)


def _hashed(piece: EvaluatedWindow) -> NDArray[np.uint32]:
    """A number for each pixel of a window that looks random, uint32 (rows, cols), made of its place in the scene."""
    rows = np.arange(piece.window.row, piece.window.row + piece.window.rows, dtype=np.uint32)
    cols = np.arange(piece.window.col, piece.window.col + piece.window.cols, dtype=np.uint32)
    mixed = rows[:, None] * np.uint32(0x9E3779B1) + cols * np.uint32(0x85EBCA77)
    for shift, factor in ((15, 0x2C1B3C6D), (12, 0x297A2D39)):  # a finaliser as in MurmurHash3
        mixed = (mixed ^ (mixed >> np.uint32(shift))) * np.uint32(factor)
    found: NDArray[np.uint32] = mixed ^ (mixed >> np.uint32(15))
    return found
