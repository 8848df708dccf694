"""How the points of a sample are shared out among its strata."""

import numpy as np
from numpy.typing import NDArray

from ml.sampling.design import Allocation

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
_TINY = 1e-9  # of the largest share, so that a stratum without expected errors can still take points


def shares(allocation: Allocation, area_ha: Floats, deviation: Floats | None = None) -> Floats:
    """What the numbers of points are proportional to, before there are limits; shape (strata,).

    proportional: W, the area of the stratum (Cochran 1977, section 5.3). equal: the same for all. neyman: W * S, the
    area times the expected standard deviation within the stratum (Cochran 1977, eq. 5.26). power: the square root of
    the area (Bankier 1988, doi 10.1080/00031305.1988.10475556, with power 1/2 and equal deviations).

    area_ha: Of the strata. deviation: S of the strata, which only neyman needs.
    """
    match allocation:
        case "proportional":
            found = area_ha
        case "equal":
            found = np.ones_like(area_ha)
        case "power":
            found = np.sqrt(area_ha)
        case "neyman":
            if deviation is None:
                raise ValueError("neyman needs the deviations within the strata")
            found = area_ha * deviation if deviation.any() else area_ha
    return np.asarray(np.maximum(found, _TINY * found.max()))


def allocate(share: Floats, n: int, least: Counts, most: Counts) -> Counts:
    """Share `n` points out in proportion to `share`, with `least` to `most` points in each stratum.

    The exact numbers are rounded so that the largest remainders go up, and their sum is `n`.

    share, least, most: Shape (strata,); `n` must lie between the sums of `least` and `most`.
    """
    if not least.sum() <= n <= most.sum():
        raise ValueError(f"{n} points do not lie between {least.sum()} and {most.sum()}")
    low, high = 0.0, float((most / share).max())
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.clip(middle * share, least, most).sum() < n else (low, middle)
    exact = np.clip(high * share, least, most)
    counts = np.minimum(np.floor(exact + 1e-6).astype(np.int64), most)
    while (left := n - int(counts.sum())) > 0:
        remainder = np.where(counts < most, exact - counts, -np.inf)
        counts[np.argsort(-remainder, kind="stable")[: min(left, int((counts < most).sum()))]] += 1
    return counts
