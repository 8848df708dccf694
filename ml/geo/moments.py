"""Mean, spread and range of bands over windows, in one pass and without loss of digits."""

import numpy as np

from ml.contract import BandStatistics


class Moments:
    """Running statistics of `bands` bands, in float64, by the pairwise update of Chan, Golub and LeVeque (1979)."""

    def __init__(self, bands: int) -> None:
        self.count = 0
        self._mean = np.zeros(bands)
        self._squares = np.zeros(bands)  # sum of squared deviations from the mean
        self._min = np.full(bands, np.inf)
        self._max = np.full(bands, -np.inf)

    def update(self, image: np.ndarray, valid: np.ndarray) -> None:
        """Take in the valid pixels of a window: image (bands, rows, cols), valid bool (rows, cols)."""
        # `image[:, valid]` would put the bands of a pixel side by side, which sums up four times as slowly
        pixels = np.compress(valid.ravel(), image.reshape(len(image), -1), axis=1).astype(np.float64)
        new = pixels.shape[1]
        if new == 0:
            return
        mean = pixels.mean(axis=1)
        shift, total = mean - self._mean, self.count + new
        self._squares += new * pixels.var(axis=1) + shift**2 * (self.count * new / total)
        self._mean += shift * (new / total)
        self._min = np.minimum(self._min, pixels.min(axis=1))
        self._max = np.maximum(self._max, pixels.max(axis=1))
        self.count = total

    def statistics(self) -> tuple[BandStatistics, ...]:
        """One per band, std that of the population; empty if no pixel was valid."""
        if self.count == 0:
            return ()
        std = np.sqrt(self._squares / self.count)
        columns = zip(self._mean, std, self._min, self._max, strict=True)
        return tuple(BandStatistics(mean=m, std=s, min=low, max=high) for m, s, low, high in columns)
