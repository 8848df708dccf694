import numpy as np
import pytest

from ml.contract import BandRadiometry, Method, SceneRadiometry
from ml.faults import InputRefused
from ml.radiometry.measure import measure, reference_of, spread
from ml.scenes.source import RasterSource
from tests.ml.conftest import MakeScene


def measured(make_scene: MakeScene, image: np.ndarray, method: Method = "robust") -> SceneRadiometry:
    with RasterSource(make_scene(image, nodata=0)) as source:
        return measure(source, method)


def test_the_radiometry_of_a_band_equals_that_of_numpy(make_scene: MakeScene) -> None:
    image = np.random.default_rng(1).gamma(3, 200, (2, 600, 70)).astype(np.float32) + 1
    image[:, :200] = 0
    radiometry = measured(make_scene, image)
    assert radiometry.local is None
    for pixels, band in zip(image[:, 200:].reshape(2, -1).astype(np.float64), radiometry.bands, strict=True):
        median = np.median(pixels)
        assert band.median == pytest.approx(median)
        assert band.mad == pytest.approx(np.median(np.abs(pixels - median)))
        assert band.mean == pytest.approx(pixels.mean())
        assert band.std == pytest.approx(pixels.std())
        assert band.quantiles == pytest.approx(np.percentile(pixels, range(101)))


def test_statistics_of_a_cell_are_those_of_its_valid_pixels(make_scene: MakeScene) -> None:
    image = np.random.default_rng(2).normal(500, 50, (2, 600, 800)).astype(np.float32)
    image[:, 300:340, 550:600] = 0
    local = measured(make_scene, image, "wallis").local
    assert local and (local.cell_px, local.rows, local.cols) == (256, 3, 4)
    mean, std = (np.reshape(values, (2, 3, 4)) for values in (local.mean, local.std))
    for row, col in [(0, 0), (1, 2), (2, 1)]:
        cell = image[:, row * 256 :, col * 256 :][:, :256, :256].astype(np.float64)
        pixels = cell[:, cell[0] != 0]
        assert mean[:, row, col] == pytest.approx(pixels.mean(axis=1))
        assert std[:, row, col] == pytest.approx(pixels.std(axis=1))


def test_a_cell_with_few_valid_pixels_gets_the_values_of_its_neighbours(make_scene: MakeScene) -> None:
    image = np.zeros((1, 256, 1024), dtype=np.float32)
    image[:, :, :256] = 100
    image[:, :5, 256:512] = 999  # too few to count
    local = measured(make_scene, image, "wallis").local
    assert local and local.mean == (100, 100, 100, 100)


def test_without_cells_of_many_pixels_all_cells_get_the_statistics_of_the_scene(make_scene: MakeScene) -> None:
    image = np.arange(1, 601, dtype=np.float32).reshape(1, 2, 300)
    radiometry = measured(make_scene, image, "wallis")
    assert radiometry.local and radiometry.local.mean == (300.5, 300.5)
    assert radiometry.local.std == (radiometry.bands[0].std,) * 2


def test_unknown_cells_get_the_mean_of_the_nearest_known_cells() -> None:
    values = np.array([[[1.0, -1, -1, -1], [3.0, -1, -1, 8.0]]])
    filled = spread(values, values[0] > 0)
    assert filled.tolist() == [[[1, 2, 8, 8], [3, 2, 8, 8]]]


def test_a_scene_without_a_valid_pixel_is_refused(make_scene: MakeScene) -> None:
    with pytest.raises(InputRefused) as refused:
        measured(make_scene, np.zeros((1, 10, 10), dtype=np.uint8))
    assert [fault.code for fault in refused.value.faults] == ["no_valid_pixels"]


def test_the_reference_is_the_mean_of_scenes_with_different_casts(make_scene: MakeScene) -> None:
    """The scenes differ only by a gain and an offset; the reference has the mean gain and the mean offset."""
    clean = np.random.default_rng(3).gamma(4, 100, (1, 100, 100)).astype(np.float32) + 50
    casts = [(0.8, 40.0), (1.1, -30.0), (1.4, 20.0)]
    scenes = [measured(make_scene, gain * clean + offset) for gain, offset in casts]
    ((reference,), (middle,)) = reference_of(scenes), measured(make_scene, 1.1 * clean + 10).bands
    for name in ("median", "mad", "mean", "std"):
        assert getattr(reference, name) == pytest.approx(getattr(middle, name), rel=1e-3)
    assert reference.quantiles == pytest.approx(middle.quantiles, rel=1e-3)


def test_a_reference_needs_scenes_with_the_same_bands() -> None:
    band = BandRadiometry(median=1, mad=1, mean=1, std=1, quantiles=(0, 2))
    with pytest.raises(ValueError, match="at least one scene"):
        reference_of([])
    with pytest.raises(ValueError):
        reference_of([SceneRadiometry(bands=(band,)), SceneRadiometry(bands=(band, band))])
