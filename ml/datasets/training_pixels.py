"""What is known of the pixels that a dataset trains on: for its contract."""

import numpy as np

from ml.contract import BandStatistics
from ml.geo.moments import Moments
from ml.geo.quantiles import Quantiles


class TrainingPixels:
    """Statistics of `bands` bands over the windows given so far."""

    def __init__(self, bands: int) -> None:
        self._moments, self._quantiles = Moments(bands), Quantiles(bands)

    def update(self, image: np.ndarray, valid: np.ndarray) -> None:
        """Take in the valid pixels of a window: image (bands, rows, cols), valid bool (rows, cols)."""
        self._moments.update(image, valid)
        self._quantiles.update(image, valid)

    def statistics(self, *, clip: bool) -> tuple[BandStatistics, ...]:
        """One per band; with `clip` the limits beyond which a value is an outlier, too."""
        plain = self._moments.statistics()
        if not clip or not plain:
            return plain
        limited = zip(plain, self._quantiles.limits(), strict=True)
        return tuple(band.model_copy(update={"low": low, "high": high}) for band, (low, high) in limited)
