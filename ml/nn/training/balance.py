"""How often each chip is wanted in an epoch, so that rare classes are seen as much as frequent ones."""

import numpy as np
from numpy.typing import NDArray

from ml.config import Balance

Counts = NDArray[np.int64]  # (C, K): labelled pixels of each of K classes in each of C chips
Wanted = NDArray[np.float64]  # (C,)
LARGEST_FACTOR = 10.0  # a chip is drawn at most so many times as often as another


def repetitions(counts: Counts, balance: Balance) -> Wanted:
    """How often each chip is wanted in an epoch.

    "oversample" wants chips rich in rare classes more than once and the others once, "undersample" wants rich ones once
    and the others less; the largest ratio is `LARGEST_FACTOR`. "none" wants each chip once.
    """
    if balance == "none":
        return np.ones(len(counts))
    factors = _two_class_factors(counts) if counts.shape[1] == 2 else _repeat_factors(counts)
    return factors / factors.max() if balance == "undersample" else factors


def _two_class_factors(counts: Counts) -> Wanted:
    """k for rich chips, 1 for the others: k is solved so that the drawn pixels of both classes become equal.

    A chip is rich if its share of the rarer class exceeds that class's share in all.
    """
    rare = int(np.argmin(counts.sum(axis=0)))
    share = counts[:, rare] / counts.sum(axis=1)
    rich = share > counts[:, rare].sum() / counts.sum()
    # of the drawn pixels, k * surplus is what rich chips have more of the rare class, deficit what the others have less
    surplus = float((counts[rich, rare] - counts[rich, 1 - rare]).sum())
    deficit = float((counts[~rich, 1 - rare] - counts[~rich, rare]).sum())
    k = min(max(deficit / surplus, 1.0), LARGEST_FACTOR) if surplus > 0 else LARGEST_FACTOR
    return np.where(rich, k, 1.0)


def _repeat_factors(counts: Counts) -> Wanted:
    """Repeat factor sampling (Gupta et al. 2019, arXiv:1908.03195, section 4), with equal shares as its threshold.

    A class with share f of the labelled pixels wants sqrt((1 / K) / f), at least 1; a chip takes the most that any of
    its classes wants.
    """
    pixels = counts.sum(axis=0)
    wanted = np.sqrt(pixels.sum() / (len(pixels) * np.maximum(pixels, 1))).clip(1.0, LARGEST_FACTOR)
    return np.asarray(np.where(counts > 0, wanted, 1.0).max(axis=1))


def extra_copies(counts: Counts) -> tuple[int, Wanted]:
    """For "oversample_exact" with two classes: how many extra copies there are in an epoch, and of which chips.

    Extra copies keep the labels of the rarer class only, so as many are wanted as bring its pixels up to those of the
    other. They are drawn in proportion to their pixels of the rarer class, of which a draw then brings
    sum(r^2) / sum(r) on average.
    """
    rare = int(np.argmin(counts.sum(axis=0)))
    pixels = counts[:, rare].astype(np.float64)
    missing = float(counts[:, 1 - rare].sum() - pixels.sum())
    copies = missing / ((pixels**2).sum() / pixels.sum()) if pixels.any() else 0.0
    return round(min(copies, LARGEST_FACTOR * len(counts))), pixels


def draw(wanted: Wanted, draws: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Indices (draws,) of chips, each drawn in proportion to `wanted`, in random order.

    Systematic sampling (Madow 1949): each chip comes up its expected number of times, rounded up or down; with equal
    weights and as many draws as chips, exactly once.
    """
    order = random.permutation(len(wanted))
    ends = np.cumsum(wanted[order])
    hits = (np.arange(draws) + random.random()) * (ends[-1] / max(draws, 1))
    chosen = np.minimum(np.searchsorted(ends, hits, side="right"), len(wanted) - 1)
    return random.permutation(order[chosen])
