"""Statistics of bands, computed window by window in one pass and with bounded memory."""

import numpy as np

from ml.contract import BandStatistics

MOST_PIXELS = 2_000_000  # largest size of a sample
OUTLIERS = 0.001  # share of the pixels at each end of a band that count as outliers


class Moments:
    """Mean, standard deviation, minimum and maximum of bands, in float64.

    The pairwise update is that of Chan, Golub and LeVeque (1979).

    count: Number of valid pixels so far.
    """

    def __init__(self, bands: int) -> None:
        self.count = 0
        self._mean = np.zeros(bands)
        self._squares = np.zeros(bands)  # sum of squared deviations from the mean
        self._min = np.full(bands, np.inf)
        self._max = np.full(bands, -np.inf)

    def update(self, image: np.ndarray, valid: np.ndarray) -> None:
        """Add the valid pixels of a window.

        image: Pixels, shape (bands, rows, cols).
        valid: True where pixels are valid, shape (rows, cols), bool.
        """
        inside = np.flatnonzero(valid)
        new = len(inside)
        if new == 0:
            return
        # band by band, because eight bytes a value would be the most memory that an inspection takes
        mean, var, low, high = np.array([_figures(band.take(inside)) for band in image]).T
        shift, total = mean - self._mean, self.count + new
        self._squares += new * var + shift**2 * (self.count * new / total)
        self._mean += shift * (new / total)
        self._min = np.minimum(self._min, low)
        self._max = np.maximum(self._max, high)
        self.count = total

    def statistics(self) -> tuple[BandStatistics, ...]:
        """Return the statistics of each band, with the population's standard deviation; empty if no pixel was valid."""
        if self.count == 0:
            return ()
        std = np.sqrt(self._squares / self.count)
        columns = zip(self._mean, std, self._min, self._max, strict=True)
        return tuple(BandStatistics(mean=m, std=s, min=low, max=high) for m, s, low, high in columns)


def _figures(values: np.ndarray) -> tuple[float, float, float, float]:
    """Return mean, variance, minimum and maximum of the values of one band, in float64."""
    exact = values.astype(np.float64)
    return float(exact.mean()), float(exact.var()), float(exact.min()), float(exact.max())


class EvenSample:
    """Sample of every n-th valid pixel, where n is the smallest of 1, 3, 9, ... that gives at most `most` pixels.

    The same windows in the same order give the same sample. n is odd because the width of windows is often a power
    of two: an even n would then take all pixels from a few columns.
    """

    def __init__(self, bands: int, most: int = MOST_PIXELS) -> None:
        self._most, self._step, self._count = most, 1, 0
        self._pixels = np.empty((bands, 0), dtype=np.float32)
        self._new: list[np.ndarray] = []  # new pixels are joined to the sample only when there are many

    def update(self, image: np.ndarray, valid: np.ndarray) -> None:
        """Add the valid pixels of a window.

        image: Pixels, shape (bands, rows, cols).
        valid: True where pixels are valid, shape (rows, cols), bool.
        """
        where = np.flatnonzero(valid)
        taken = where[-self._count % self._step :: self._step]
        self._count += where.size
        self._new.append(image.reshape(len(image), -1)[:, taken])
        if sum(pixels.shape[1] for pixels in self._new) > self._most // 4:
            self._join()

    def pixels(self) -> np.ndarray:
        """Return the sample, shape (bands, pixels), float32, with at most `most` pixels."""
        self._join()
        return self._pixels

    def _join(self) -> None:
        self._pixels = np.concatenate([self._pixels, *self._new], axis=1, dtype=np.float32)
        self._new = []
        while self._pixels.shape[1] > self._most:
            self._pixels = self._pixels[:, ::3].copy()
            self._step *= 3


class ClippedStatistics:
    """Statistics of bands, and the limits beyond which a value is an outlier."""

    def __init__(self, bands: int) -> None:
        self._moments, self._sample = Moments(bands), EvenSample(bands)

    def update(self, image: np.ndarray, valid: np.ndarray) -> None:
        """Add the valid pixels of a window.

        image: Pixels, shape (bands, rows, cols).
        valid: True where pixels are valid, shape (rows, cols), bool.
        """
        self._moments.update(image, valid)
        self._sample.update(image, valid)

    def statistics(self, *, clip: bool) -> tuple[BandStatistics, ...]:
        """Return the statistics of each band, with the limits if `clip` is set; empty if no pixel was valid."""
        plain = self._moments.statistics()
        if not clip or not plain:
            return plain
        return tuple(_limited(band, values) for band, values in zip(plain, self._sample.pixels(), strict=True))


def _limited(band: BandStatistics, sample: np.ndarray) -> BandStatistics:
    """Return the statistics of a band with the 0.1 and 99.9 % quantiles of a sample, shape (n,), as limits.

    If nearly all pixels are equal, so that both quantiles are the same, the limits are the band's minimum and
    maximum: the few pixels that differ are then all the information in the band.
    """
    low, high = np.quantile(sample.astype(np.float64), [OUTLIERS, 1 - OUTLIERS]).tolist()
    limits = {"low": band.min, "high": band.max} if low == high else {"low": low, "high": high}
    return band.model_copy(update=limits)
