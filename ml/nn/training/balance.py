"""How often each chip is drawn in an epoch, so that rare classes count as much as frequent ones."""

import numpy as np
from numpy.typing import NDArray

from ml.config import Balance

Counts = NDArray[np.int64]  # (C, K): numbers of labelled pixels of each of K classes in each of C chips
Weights = NDArray[np.float64]  # (C,): sampling weights of chips
LARGEST_FACTOR = 10.0  # largest ratio of the sampling weights of two chips


def repetitions(counts: Counts, balance: Balance) -> Weights:
    """Return how often each chip should be drawn in an epoch, float64 (C,).

    "oversample" draws chips that are rich in rare classes more than once and the others once. "undersample" draws rich
    chips once and the others less than once. The largest ratio is `LARGEST_FACTOR`. "none" draws each chip once.
    """
    if balance == "none":
        return np.ones(len(counts))
    factors = _two_class_factors(counts) if counts.shape[1] == 2 else _repeat_factors(counts)
    return factors / factors.max() if balance == "undersample" else factors


def _two_class_factors(counts: Counts) -> Weights:
    """Return k for rich chips and 1 for the others, with the k that makes the drawn pixels of both classes equal.

    A chip is rich if the share of the rarer class in it exceeds the share of that class in all chips. k is at least 1
    and at most `LARGEST_FACTOR`.
    """
    rare = int(np.argmin(counts.sum(axis=0)))
    share = counts[:, rare] / counts.sum(axis=1)
    rich = share > counts[:, rare].sum() / counts.sum()
    # surplus: rare minus frequent pixels in the rich chips; deficit: frequent minus rare pixels in the others
    surplus = float((counts[rich, rare] - counts[rich, 1 - rare]).sum())
    deficit = float((counts[~rich, 1 - rare] - counts[~rich, rare]).sum())
    k = min(max(deficit / surplus, 1.0), LARGEST_FACTOR) if surplus > 0 else LARGEST_FACTOR
    return np.where(rich, k, 1.0)


def _repeat_factors(counts: Counts) -> Weights:
    """Compute repeat factors (Gupta et al. 2019, arXiv:1908.03195, section 4) with the threshold 1 / K.

    A class with share f of the labelled pixels has the factor sqrt((1 / K) / f), at least 1 and at most
    `LARGEST_FACTOR`. The factor of a chip is the largest factor of the classes in it.
    """
    pixels = counts.sum(axis=0)
    by_class = np.sqrt(pixels.sum() / (len(pixels) * np.maximum(pixels, 1))).clip(1.0, LARGEST_FACTOR)
    return np.asarray(np.where(counts > 0, by_class, 1.0).max(axis=1))


def extra_copies(counts: Counts) -> tuple[int, Weights]:
    """Return the number of extra copies of chips in an epoch of "oversample_exact", and the chips' sampling weights.

    This balance mode is for two classes. Extra copies keep only the labels of the rarer class, and there are as many of
    them as raise its pixels to the number of the other class. The sampling weight of a chip is its number r of pixels
    of the rarer class, so a draw adds sum(r^2) / sum(r) such pixels on average.
    """
    rare = int(np.argmin(counts.sum(axis=0)))
    pixels = counts[:, rare].astype(np.float64)
    missing = float(counts[:, 1 - rare].sum() - pixels.sum())
    copies = missing / ((pixels**2).sum() / pixels.sum()) if pixels.any() else 0.0
    return round(min(copies, LARGEST_FACTOR * len(counts))), pixels


def draw(weights: Weights, draws: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Draw chips in proportion to their sampling weights; return their indices, int64 (draws,), in random order.

    This is systematic sampling (Madow 1949): each chip is drawn its expected number of times, rounded up or down. With
    equal weights and as many draws as chips, each chip is drawn exactly once.
    """
    order = random.permutation(len(weights))
    ends = np.cumsum(weights[order])
    hits = (np.arange(draws) + random.random()) * (ends[-1] / max(draws, 1))
    chosen = np.minimum(np.searchsorted(ends, hits, side="right"), len(weights) - 1)
    return random.permutation(order[chosen])
