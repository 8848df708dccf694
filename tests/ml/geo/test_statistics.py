import numpy as np
import pytest

from ml.geo.statistics import MOST_PIXELS, ClippedStatistics, EvenSample, Moments


def image_of(shape: tuple[int, int, int]) -> np.ndarray:
    return np.random.default_rng(0).gamma(4, 100, shape).astype(np.float32)


def rows_of(image: np.ndarray, valid: np.ndarray, into: EvenSample | ClippedStatistics, height: int = 64) -> None:
    for row in range(0, image.shape[1], height):
        into.update(image[:, row : row + height], valid[row : row + height])


def test_a_small_image_is_sampled_completely() -> None:
    image = image_of((2, 30, 20))
    valid = image[0] > 300
    sample = EvenSample(2)
    rows_of(image, valid, sample, height=7)
    assert (sample.pixels() == image[:, valid]).all()


def test_the_sample_does_not_depend_on_the_height_of_the_windows() -> None:
    image = image_of((2, 256, 128))
    valid = np.ones((256, 128), dtype=bool)
    for height in (1, 5, 256):
        sample = EvenSample(2, most=5000)
        rows_of(image, valid, sample, height)
        assert (sample.pixels() == image.reshape(2, -1)[:, ::9]).all()


def test_the_size_of_a_sample_is_bounded() -> None:
    image = image_of((3, 64, 64))
    sample = EvenSample(3, most=1000)
    for _ in range(50):
        sample.update(image, np.ones((64, 64), dtype=bool))
        assert sample.pixels().shape[1] <= 1000
    assert sample.pixels().shape[1] > 1000 / 3 - 1


def limits(image: np.ndarray, valid: np.ndarray) -> list[tuple[float | None, float | None]]:
    pixels = ClippedStatistics(len(image))
    rows_of(image, valid, pixels)
    return [(band.low, band.high) for band in pixels.statistics(clip=True)]


def test_the_limits_equal_the_quantiles_of_numpy() -> None:
    image = image_of((2, 100, 100))
    valid = image[1] > 200
    exact = np.quantile(image[:, valid].astype(np.float64), [0.001, 0.999], axis=1)
    assert np.allclose(np.array(limits(image, valid)).T, exact, rtol=1e-12)


def test_the_limits_of_a_sample_exclude_the_expected_share_of_pixels() -> None:
    image = image_of((1, 2000, 2000))
    assert image.size > MOST_PIXELS
    ((low, high),) = limits(image, np.ones((2000, 2000), dtype=bool))
    assert np.mean(image < low) == pytest.approx(0.001, rel=0.2)
    assert np.mean(image > high) == pytest.approx(0.001, rel=0.2)


def test_the_limits_of_an_almost_constant_band_are_its_minimum_and_maximum() -> None:
    image = np.full((2, 1500, 1500), 7, dtype=np.float32)
    assert image[0].size > MOST_PIXELS
    image[0, 41, 43] = 9  # no multiple of 3: the sample misses that pixel
    assert limits(image, np.ones((1500, 1500), dtype=bool)) == [(7, 9), (7, 7)]


def test_clipped_statistics_are_empty_without_valid_pixels() -> None:
    assert limits(np.ones((1, 3, 3), dtype=np.float32), np.zeros((3, 3), dtype=bool)) == []


def test_without_clipping_there_are_no_limits() -> None:
    pixels = ClippedStatistics(1)
    pixels.update(np.ones((1, 3, 3), dtype=np.float32), np.ones((3, 3), dtype=bool))
    (band,) = pixels.statistics(clip=False)
    assert (band.mean, band.low, band.high) == (1, None, None)


def test_statistics_by_windows_equal_those_of_the_whole_image() -> None:
    image = np.random.default_rng(0).normal(1e6, 1, (3, 50, 40))
    valid = image[0] > 1e6
    moments = Moments(3)
    for row in range(0, 50, 7):
        moments.update(image[:, row : row + 7], valid[row : row + 7])
    for band, found in zip(image[:, valid], moments.statistics(), strict=True):
        assert (found.min, found.max) == (band.min(), band.max())
        assert found.mean == pytest.approx(band.mean(), rel=1e-12)
        assert found.std == pytest.approx(band.std(), rel=1e-9)


def test_moments_are_empty_without_valid_pixels() -> None:
    moments = Moments(2)
    moments.update(np.ones((2, 3, 3)), np.zeros((3, 3), dtype=bool))
    assert moments.count == 0 and moments.statistics() == ()
