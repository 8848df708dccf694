"""Samples that papers print, as points."""

import numpy as np
from numpy.typing import NDArray

from ml.estimation.sample import Points, Sample, Strata
from ml.estimation.values import Estimate


def of_counts(counts: list[list[int]], area_ha: list[float]) -> Sample:
    """A stratified sample whose strata are the classes of the map; counts by mapped (rows) and true class."""
    table = np.array(counts)
    mapped, truly = (np.repeat(index.ravel(), table.ravel()) for index in np.indices(table.shape))
    names = tuple(str(number) for number in range(1, len(table) + 1))
    return Sample("stratified", Strata(names, np.array(area_ha, dtype=float)), Points(mapped, mapped, truly))


def stehman(*, with_units: bool) -> Sample:
    """The 40 points of Stehman 2014, table 2, whose strata are not the classes of the map."""
    units = np.array([40_000.0, 30_000.0, 20_000.0, 10_000.0])
    strata = Strata(tuple("ABCD"), units, units if with_units else None)
    mapped = letters("AAAAAAABBBABBBBBBBBBBBCCCCCCBBDDDDDDDDDD")
    truly = letters("AAAAACBABCABBBBBAABBCCCCCDDBBADDDDDDDCCB")
    return Sample("stratified", strata, Points(np.repeat(np.arange(4), 10), mapped, truly))


def letters(classes: str) -> NDArray[np.int64]:
    """The indices of classes that are written as A, B, C, D."""
    return np.array([ord(letter) - ord("A") for letter in classes])


def value_and_se(found: Estimate) -> tuple[float, float]:
    """The value and the standard error of an estimate that has both."""
    assert found.value is not None and found.se is not None
    return found.value, found.se
