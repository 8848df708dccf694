"""Robust limits against numpy."""

import numpy as np
import pytest

from ml.geo import quantiles
from ml.geo.quantiles import Quantiles


def test_limits_are_numpys_percentiles_of_the_valid_pixels() -> None:
    rng = np.random.default_rng(0)
    found, everything = Quantiles(2), []
    for _ in range(6):
        image = rng.normal(50, 10, (2, 80, 90)).astype(np.float32)
        valid = rng.random((80, 90)) < 0.8
        image[:, ~valid] = 1e6
        found.update(image, valid)
        everything.append(image[:, valid])
    expected = np.quantile(np.concatenate(everything, axis=1), (0.001, 0.999), axis=1).T
    assert np.allclose(np.array(found.limits(), dtype=float), expected)


def test_many_pixels_are_thinned_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantiles, "MOST_PX", 4000)
    found = Quantiles(1)
    for start in range(0, 100_000, 1000):
        found.update(np.arange(start, start + 1000, dtype=np.float32).reshape(1, 20, 50), np.ones((20, 50), bool))
    ((low, high),) = found.limits()
    assert low == pytest.approx(100, abs=100)
    assert high == pytest.approx(99_900, abs=100)
    assert found._count <= 4000


def test_a_band_without_spread_has_no_limits() -> None:
    found = Quantiles(1)
    assert found.limits() == [(None, None)]
    found.update(np.full((1, 4, 4), 7, np.float32), np.ones((4, 4), bool))
    assert found.limits() == [(None, None)]
