"""Chips from which nothing can be learnt: too little valid area, constant, cloud."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ml.contract import BandStatistics
from ml.frozen import Frozen

ChipFault = Literal["little_valid", "constant", "cloud"]
CLOUD_STD = 3.0  # so many standard deviations above the mean in every band is as bright as cloud
CLOUD_SHARE = 0.5


class DroppedChip(Frozen):
    """A chip that is not trained on. row, col: of its upper left pixel."""

    scene: str
    row: int
    col: int
    why: ChipFault


def chip_fault(
    image: np.ndarray, valid: NDArray[np.bool_], statistics: Sequence[BandStatistics], *, min_valid: float
) -> ChipFault | None:
    """Why a chip is to be dropped, or None.

    image: (bands, rows, cols), in the units of `statistics`, which are those of the training split; valid: bool
    (rows, cols). "little_valid": a smaller share than `min_valid` is valid. "constant": all valid pixels are the
    same. "cloud": more than half of them are 3 standard deviations brighter than the mean in every band.
    """
    count = np.count_nonzero(valid)
    if not count or count / valid.size < min_valid:
        return "little_valid"
    if _constant(image, valid):
        return "constant" if count > 1 else None
    bright = valid
    for band, usual in zip(image, statistics, strict=True):
        bright = bright & (band > np.float64(usual.mean + CLOUD_STD * usual.std))
        if np.count_nonzero(bright) <= CLOUD_SHARE * count:  # further bands only take away: mostly the first tells
            return None
    return "cloud"


def _constant(image: np.ndarray, valid: NDArray[np.bool_]) -> bool:
    """Whether all valid pixels, of which there must be one, are the same; of most images one band tells."""
    row, col = divmod(int(valid.argmax()), valid.shape[1])
    return all(((band == value) | ~valid).all() for band, value in zip(image, image[:, row, col], strict=True))
