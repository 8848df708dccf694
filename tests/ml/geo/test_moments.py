import numpy as np
import pytest

from ml.geo.moments import Moments


def test_statistics_by_windows_equal_those_of_the_whole() -> None:
    image = np.random.default_rng(0).normal(1e6, 1, (3, 50, 40))
    valid = image[0] > 1e6
    moments = Moments(3)
    for row in range(0, 50, 7):
        moments.update(image[:, row : row + 7], valid[row : row + 7])
    for band, found in zip(image[:, valid], moments.statistics(), strict=True):
        assert (found.min, found.max) == (band.min(), band.max())
        assert found.mean == pytest.approx(band.mean(), rel=1e-12)
        assert found.std == pytest.approx(band.std(), rel=1e-9)


def test_no_valid_pixel_means_no_statistics() -> None:
    moments = Moments(2)
    moments.update(np.ones((2, 3, 3)), np.zeros((3, 3), dtype=bool))
    assert moments.count == 0 and moments.statistics() == ()
