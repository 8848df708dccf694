"""Chips from which nothing can be learnt: they have too few valid pixels, are constant, or show cloud."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ml.contract import BandStatistics
from ml.frozen import Frozen

ChipFault = Literal["little_valid", "constant", "cloud"]
GUESSED: tuple[ChipFault, ...] = ("constant", "cloud")  # what also a uniform or a bright crop looks like
MOST = 0.5  # of a class, a larger share than this must not go unseen: its labels say that the guess is wrong
CLOUD_STD = 3.0  # cloud is brighter than the mean by this many standard deviations, in every band
CLOUD_SHARE = 0.5  # a chip is cloud if more than this share of its valid pixels is


class DroppedChip(Frozen):
    """A chip that is not trained on. row, col: Position of its upper left pixel in the scene."""

    scene: str
    row: int
    col: int
    why: ChipFault


def chip_fault(
    image: np.ndarray, valid: NDArray[np.bool_], statistics: Sequence[BandStatistics], *, min_valid: float
) -> ChipFault | None:
    """Why a chip must be dropped, or None if it is usable.

    image: Pixels of the chip, shape (bands, rows, cols), in the units of `statistics`. valid: Whether a pixel has data,
    bool (rows, cols). statistics: Mean and standard deviation of each band in the training split.

    "little_valid": No pixel is valid, or a smaller share than `min_valid` is. "constant": All valid pixels are the
    same. "cloud": More than half of the valid pixels are 3 standard deviations brighter than the mean in every band. A
    single valid pixel is neither constant nor cloud.
    """
    count = np.count_nonzero(valid)
    if not count or count / valid.size < min_valid:
        return "little_valid"
    if _constant(image, valid):
        return "constant" if count > 1 else None
    bright = valid
    for band, usual in zip(image, statistics, strict=True):
        bright = bright & (band > np.float64(usual.mean + CLOUD_STD * usual.std))
        if np.count_nonzero(bright) <= CLOUD_SHARE * count:  # a further band can only lower this count
            return None
    return "cloud"


def _constant(image: np.ndarray, valid: NDArray[np.bool_]) -> bool:
    """Whether all valid pixels are the same; at least one must be valid. For most images the first band decides."""
    row, col = divmod(int(valid.argmax()), valid.shape[1])
    return all(((band == value) | ~valid).all() for band, value in zip(image, image[:, row, col], strict=True))
