import numpy as np
import pytest

from ml.geo.quantiles import Quantiles, Thinned


def image_of(shape: tuple[int, int, int]) -> np.ndarray:
    return np.random.default_rng(0).gamma(4, 100, shape).astype(np.float32)


def rows_of(image: np.ndarray, valid: np.ndarray, sample: Thinned | Quantiles, height: int = 64) -> None:
    for row in range(0, image.shape[1], height):
        sample.update(image[:, row : row + height], valid[row : row + height])


def test_few_pixels_are_all_kept() -> None:
    image = image_of((2, 30, 20))
    valid = image[0] > 300
    sample = Thinned(2)
    rows_of(image, valid, sample, height=7)
    assert (sample.pixels() == image[:, valid]).all()


def test_of_many_pixels_every_ninth_is_kept_however_they_are_cut() -> None:
    image = image_of((2, 256, 128))
    valid = np.ones((256, 128), dtype=bool)
    for height in (1, 5, 256):
        sample = Thinned(2, most=5000)
        rows_of(image, valid, sample, height)
        assert (sample.pixels() == image.reshape(2, -1)[:, ::9]).all()


def test_memory_is_bounded() -> None:
    image = image_of((3, 64, 64))
    sample = Thinned(3, most=1000)
    for _ in range(50):
        sample.update(image, np.ones((64, 64), dtype=bool))
        assert sample.pixels().shape[1] <= 1000
    assert sample.pixels().shape[1] > 1000 / 3 - 1


def test_the_limits_are_those_of_numpy() -> None:
    image = image_of((2, 100, 100))
    valid = image[1] > 200
    quantiles = Quantiles(2)
    rows_of(image, valid, quantiles)
    exact = np.quantile(image[:, valid].astype(np.float64), [0.001, 0.999], axis=1)
    assert np.allclose(np.array(quantiles.limits()).T, exact, rtol=1e-12)


def test_the_limits_of_a_sample_leave_out_the_share_that_they_should() -> None:
    image = image_of((1, 1024, 1024))
    quantiles = Quantiles(1, most=200_000)
    rows_of(image, np.ones((1024, 1024), dtype=bool), quantiles)
    ((low, high),) = quantiles.limits()
    assert np.mean(image < low) == pytest.approx(0.001, rel=0.2)
    assert np.mean(image > high) == pytest.approx(0.001, rel=0.2)


def test_a_band_that_varies_in_a_few_pixels_only_keeps_them() -> None:
    image = np.full((2, 100, 100), 7, dtype=np.float32)
    image[0, 41, 43] = 9
    quantiles = Quantiles(2, most=1000)  # the sample misses that pixel
    rows_of(image, np.ones((100, 100), dtype=bool), quantiles)
    assert quantiles.limits() == ((7, 9), (7, 7))


def test_what_is_not_valid_is_no_pixel() -> None:
    quantiles = Quantiles(1)
    quantiles.update(np.ones((1, 3, 3), dtype=np.float32), np.zeros((3, 3), dtype=bool))
    assert quantiles.limits() == ()
