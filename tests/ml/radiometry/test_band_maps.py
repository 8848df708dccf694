import numpy as np
import pytest

from ml.contract import BandRadiometry
from ml.geo.windows import Window
from ml.radiometry.band_maps import bilinear, histogram, robust, wallis

LINE = Window(0, 0, 1, 5)


def band(
    mad: float = 1.0, median: float = 0.0, std: float = 1.0, quantiles: tuple[float, ...] = (0, 1)
) -> BandRadiometry:
    return BandRadiometry(median=median, mad=mad, mean=median, std=std, quantiles=quantiles)


def pixels(*values: float) -> np.ndarray:
    return np.array([values], dtype=np.float32)


def test_robust_gives_the_median_and_mad_of_the_reference() -> None:
    change = robust(band(median=100, mad=10), band(median=50, mad=20))
    assert change(pixels(100, 110, 80), LINE).tolist() == [[50, 70, 10]]


@pytest.mark.parametrize(("scene", "reference"), [(0.0, 20.0), (10.0, 0.0)])
def test_robust_only_shifts_a_band_without_spread(scene: float, reference: float) -> None:
    change = robust(band(median=100, mad=scene), band(median=50, mad=reference))
    assert change(pixels(100, 130), LINE).tolist() == [[50, 80]]


def test_histogram_is_linear_between_quantiles_and_shifts_values_beyond_them() -> None:
    change = histogram(band(quantiles=(10, 20, 40)), band(quantiles=(100, 110, 190)))
    assert change(pixels(7, 10, 15, 20, 30, 40, 45), LINE).tolist() == [[97, 100, 105, 110, 150, 190, 195]]


def test_histogram_maps_a_frequent_value_to_the_mean_of_its_quantiles() -> None:
    change = histogram(band(quantiles=(1, 5, 5, 5, 9)), band(quantiles=(0, 10, 20, 60, 70)))
    changed = change(pixels(*np.linspace(0, 10, 101)), LINE)[0]
    assert changed[50] == 30 and (np.diff(changed) > 0).all()


def test_histogram_only_shifts_a_constant_band() -> None:
    change = histogram(band(quantiles=(5, 5, 5)), band(quantiles=(1, 2, 3)))
    assert change(pixels(4, 5, 7), LINE).tolist() == [[1, 2, 4]]


def test_wallis_follows_its_formula_in_one_cell() -> None:
    change = wallis(np.array([[100.0]]), np.array([[10.0]]), 256, band(median=200, std=30))
    gain = 30 / (0.7 * 10 + 0.3 * 30)
    expected = (150 - 100) * gain + 0.9 * 200 + 0.1 * 100
    assert change(pixels(150), Window(0, 0, 1, 1)).item() == pytest.approx(expected)


def test_wallis_limits_its_gain_and_keeps_the_contrast_for_a_constant_reference() -> None:
    flat = np.zeros((1, 1))
    raised, left = (wallis(flat, flat, 256, band(std=std))(pixels(0, 1), Window(0, 0, 1, 2))[0] for std in (30, 0))
    assert raised[1] - raised[0] == pytest.approx(1 / 0.3)
    assert left[1] - left[0] == pytest.approx(1)


def test_bilinear_is_linear_between_cell_centres_and_constant_beyond() -> None:
    cells = np.array([[0.0, 4.0], [8.0, 12.0]])
    values = bilinear(cells, 4, Window(0, 0, 8, 8))
    assert values[0].tolist() == [0, 0, 0.5, 1.5, 2.5, 3.5, 4, 4]
    assert values[:, 0].tolist() == [0, 0, 1, 3, 5, 7, 8, 8]
    assert values[3, 3] == 1.5 + 3
    assert (bilinear(cells, 4, Window(5, 2, 2, 3)) == values[5:7, 2:5]).all()
