"""Chips from which nothing can be learnt: too little valid area, constant, cloud."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ml.contract import BandStatistics
from ml.model import Frozen

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
    if not valid.any() or valid.mean() < min_valid:
        return "little_valid"
    pixels = image[:, valid]
    if (pixels == pixels[:, :1]).all():
        return "constant" if pixels.shape[1] > 1 else None
    bright = np.array([band.mean + CLOUD_STD * band.std for band in statistics])[:, None]
    return "cloud" if (pixels > bright).all(axis=0).mean() > CLOUD_SHARE else None
