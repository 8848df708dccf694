"""Quantiles of bands over windows, in one pass and bounded memory: those of an even sample of the pixels."""

import numpy as np

MOST_PIXELS = 2_000_000
OUTLIERS = 0.001  # the share of the pixels at either end of a band that `Quantiles.limits` calls outliers


class Thinned:
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


class Quantiles:
    """Running limits of `bands` bands, outside which a pixel is an outlier."""

    def __init__(self, bands: int, most: int = MOST_PIXELS) -> None:
        self._sample = Thinned(bands, most)
        self._min = np.full(bands, np.inf)
        self._max = np.full(bands, -np.inf)

    def update(self, image: np.ndarray, valid: np.ndarray) -> None:
        """Take in the valid pixels of a window: image (bands, rows, cols), valid bool (rows, cols)."""
        self._sample.update(image, valid)
        self._min = image.min(axis=(1, 2), where=valid, initial=np.inf).clip(max=self._min)
        self._max = image.max(axis=(1, 2), where=valid, initial=-np.inf).clip(min=self._max)

    def limits(self) -> tuple[tuple[float, float], ...]:
        """The 0.1 and 99.9 % quantiles of each band, in its own units; empty if no pixel was valid.

        Where nearly all pixels are equal, so that both would be the same, they are the band's least and largest value:
        what few pixels show is then all that the band says.
        """
        pixels = self._sample.pixels().astype(np.float64)
        if pixels.shape[1] == 0:
            return ()
        low, high = np.quantile(pixels, [OUTLIERS, 1 - OUTLIERS], axis=1)
        flat = low == high
        low, high = np.where(flat, self._min, low), np.where(flat, self._max, high)
        return tuple(zip(low.tolist(), high.tolist(), strict=True))
