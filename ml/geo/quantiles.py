"""Quantiles of bands over windows, in one pass and bounded memory."""

import numpy as np
from numpy.typing import NDArray

MOST_PX = 1_000_000
LOW, HIGH = 0.001, 0.999


class Quantiles:
    """An even sample of the valid pixels of all windows: every n-th one, n doubling whenever there are too many."""

    def __init__(self, bands: int) -> None:
        self._kept: list[NDArray[np.float32]] = [np.empty((bands, 0), dtype=np.float32)]
        self._count = 0
        self._step = 1
        self._seen = 0

    def update(self, image: NDArray[np.float32], valid: NDArray[np.bool_]) -> None:
        """Take in the valid pixels of a window: image (bands, rows, cols), valid bool (rows, cols)."""
        pixels = image[:, valid]
        first = -self._seen % self._step
        self._seen += pixels.shape[1]
        self._kept.append(pixels[:, first :: self._step])
        self._count += self._kept[-1].shape[1]
        while self._count > MOST_PX:
            everything = np.concatenate(self._kept, axis=1)[:, ::2]
            self._kept, self._count, self._step = [everything], everything.shape[1], 2 * self._step

    def limits(self) -> list[tuple[float, float] | tuple[None, None]]:
        """Of each band the 0.1 and 99.9 percentile: what lies outside is an outlier. None for a band without spread."""
        pixels = np.concatenate(self._kept, axis=1)
        if not pixels.size:
            return [(None, None)] * len(pixels)
        low, high = np.quantile(pixels, (LOW, HIGH), axis=1)
        return [(float(a), float(b)) if a < b else (None, None) for a, b in zip(low, high, strict=True)]
