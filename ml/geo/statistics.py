"""Statistics of bands over windows, in one pass and bounded memory."""

import numpy as np

from ml.contract import BandStatistics

MOST_PIXELS = 2_000_000
OUTLIERS = 0.001  # the share of the pixels at either end of a band that count as outliers


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


class EvenSample:
    """Every n-th valid pixel in the order of arrival, float32; n is 1, 3, 9, ..., as large as `most` pixels demand.

    The same windows in the same order give the same sample. n is odd because windows are often as wide as a power of
    two: then an even n would take all its pixels from a few columns.
    """

    def __init__(self, bands: int, most: int = MOST_PIXELS) -> None:
        self._most, self._step, self._seen = most, 1, 0
        self._kept = np.empty((bands, 0), dtype=np.float32)
        self._new: list[np.ndarray] = []  # joined to the kept only when they are many

    def update(self, image: np.ndarray, valid: np.ndarray) -> None:
        """Take in the valid pixels of a window: image (bands, rows, cols), valid bool (rows, cols)."""
        where = np.flatnonzero(valid)
        taken = where[-self._seen % self._step :: self._step]
        self._seen += where.size
        self._new.append(image.reshape(len(image), -1)[:, taken])
        if sum(pixels.shape[1] for pixels in self._new) > self._most // 4:
            self._join()

    def pixels(self) -> np.ndarray:
        """The sample, (bands, at most `most`): all pixels where they are not more."""
        self._join()
        return self._kept

    def _join(self) -> None:
        self._kept = np.concatenate([self._kept, *self._new], axis=1, dtype=np.float32)
        self._new = []
        while self._kept.shape[1] > self._most:
            self._kept = self._kept[:, ::3].copy()
            self._step *= 3


class ClippedStatistics:
    """Statistics of `bands` bands, and the limits beyond which a value is an outlier."""

    def __init__(self, bands: int) -> None:
        self._moments, self._sample = Moments(bands), EvenSample(bands)

    def update(self, image: np.ndarray, valid: np.ndarray) -> None:
        """Take in the valid pixels of a window: image (bands, rows, cols), valid bool (rows, cols)."""
        self._moments.update(image, valid)
        self._sample.update(image, valid)

    def statistics(self, *, clip: bool) -> tuple[BandStatistics, ...]:
        """One per band; with `clip` the limits, too; empty if no pixel was valid."""
        plain = self._moments.statistics()
        if not clip or not plain:
            return plain
        return tuple(_limited(band, values) for band, values in zip(plain, self._sample.pixels(), strict=True))


def _limited(band: BandStatistics, sample: np.ndarray) -> BandStatistics:
    """`band` with the 0.1 and 99.9 % quantiles of a sample of its pixels, (n,), as limits.

    Where nearly all pixels are equal, so that both would be the same, the limits are the band's least and largest
    value: what few pixels show is then all that the band says.
    """
    low, high = np.quantile(sample.astype(np.float64), [OUTLIERS, 1 - OUTLIERS]).tolist()
    limits = {"low": band.min, "high": band.max} if low == high else {"low": low, "high": high}
    return band.model_copy(update=limits)
