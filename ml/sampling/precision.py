"""The precision that a sample can be expected to have, and the size that it needs for a wanted precision."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ml.sampling.allocation import Counts, Floats


def class_shares(confusion: NDArray[np.int64], mapped: list[int]) -> Floats | None:
    """The share of each true class among the pixels mapped as each of `mapped`, shape (len(mapped), classes).

    Half a pixel is added to each count (the prior of Jeffreys), since a class without a single error in the test is
    not free of errors elsewhere. None if no tested pixel was mapped as one of them.

    confusion: Tested pixels by true and mapped class, shape (classes, classes). mapped: Indices of map classes.
    """
    counts = confusion[:, mapped] + 0.5
    return np.asarray((counts / counts.sum(axis=0)).T) if confusion[:, mapped].sum(axis=0).all() else None


def deviations(share: Floats, classes: list[int]) -> Floats:
    """The standard deviation of belonging to a class, within each stratum, shape (strata,); of several, the largest.

    It is sqrt(p (1 - p)) (Cochran 1977, section 3.2). share: of each class in each stratum, (strata, classes).
    """
    return np.asarray(np.sqrt(share * (1 - share))[:, classes].max(axis=1))


def expected(share: Floats, pixels: Counts, area_ha: Floats, counts: Floats | Counts) -> tuple[Floats, Floats]:
    """The area of each class and its standard error that a stratified sample can be expected to give, in hectares.

    The variance is the sum over the strata of A^2 (1 - n/N) S^2 / n with S^2 = N/(N - 1) p (1 - p) (Cochran 1977,
    eq. 5.7 with 3.7; Olofsson et al. 2014, doi 10.1016/j.rse.2014.02.015, eq. 10, without the finite population).

    share: of each class in each stratum, (strata, classes). pixels, area_ha, counts: N, A and n, shape (strata,).

    Returns:
        Both of shape (classes,).
    """
    spread = pixels / np.maximum(pixels - 1, 1) * (share * (1 - share)).T
    variance = (area_ha**2 * (1 - counts / pixels) * spread / counts).sum(axis=1)
    return share.T @ area_ha, np.sqrt(np.maximum(variance, 0))


def size_for(target_cv: float, cv_of: Callable[[int], float], least: int, most: int) -> int | None:
    """The smallest number of points, from `least` to `most`, whose expected coefficient of variation is the target.

    For an allocation in proportion to the area, without limits, it is eq. 13 of Olofsson et al. 2014, which is
    Cochran 1977, eq. 5.25. None if even `most` points do not suffice.

    cv_of: The expected coefficient of variation of a sample, which falls with the number of its points, its argument.
    """
    if cv_of(most) > target_cv:
        return None
    while least < most:
        middle = (least + most) // 2
        least, most = (least, middle) if cv_of(middle) <= target_cv else (middle + 1, most)
    return least
