"""Points of pixels of different size stand for ground by their size."""

import numpy as np
import pytest

from ml.estimation.estimate import estimate
from ml.estimation.regression import slope
from ml.estimation.sample import Points, Sample, Strata


def drawn(size: np.ndarray | None, reference: np.ndarray, stratum: np.ndarray) -> Sample:
    strata = Strata(("other", "cane"), np.array([70.0, 30.0]), np.array([7000.0, 3000.0]))
    return Sample("stratified", strata, Points(stratum, stratum, reference, size=size))


def test_the_mean_of_a_stratum_is_weighed_by_size_and_equal_sizes_change_nothing() -> None:
    random = np.random.default_rng(1)
    stratum = np.repeat([0, 1], 100)
    reference = np.where(random.random(200) < 0.2, 1 - stratum, stratum)
    size = random.uniform(0.8, 1.2, 200)
    found = estimate(drawn(size, reference, stratum), 2).rows[1].area
    own = variance = 0.0
    for number, area in enumerate((70.0, 30.0)):
        here = stratum == number
        share = np.average(reference[here], weights=size[here])
        residuals = size[here] * (reference[here] - share) / size[here].mean()
        own += area * share
        variance += area**2 * (1 - 100 / (100 * area)) * (residuals**2).sum() / 99 / 100
    assert (found.value, found.se) == pytest.approx((own, np.sqrt(variance)))
    plain = estimate(drawn(None, reference, stratum), 2).rows[1].area
    equal = estimate(drawn(np.full(200, 0.037), reference, stratum), 2).rows[1].area
    assert (equal.value, equal.se) == pytest.approx((plain.value, plain.se))
    assert found.value != pytest.approx(plain.value, abs=1e-3)


def test_rounding_of_sizes_gives_no_slope() -> None:
    random = np.random.default_rng(2)
    stratum = np.repeat([0, 1], 97)
    reference = np.where(random.random(194) < 0.2, 1 - stratum, stratum)
    sample = drawn(random.uniform(0.8, 1.2, 194), reference, stratum)
    assert slope(sample, reference.astype(float), stratum.astype(float)) == 0.0
