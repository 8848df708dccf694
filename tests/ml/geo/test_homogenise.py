"""Homogenisation: casts and haze go, and nothing hangs on the window."""

import numpy as np
import pytest
from numpy.typing import NDArray

from ml.contract import Homogenise, Method
from ml.data import SceneFile
from ml.geo.homogenise import HomogenisedSource, open_homogenised
from ml.geo.radiometry import measure, reference_of
from ml.geo.source import RasterSource
from ml.geo.windows import Window
from tests.ml.geo.conftest import MakeScene

METHODS: tuple[Method, ...] = ("robust", "histogram", "wallis")
ROWS, COLS = 600, 520
Image = NDArray[np.float32]


def land(seed: int = 0) -> Image:
    """Fields of 40 px with a texture, two bands, alike everywhere."""
    rng = np.random.default_rng(seed)
    fields = np.kron(rng.normal(0, 20, (2, ROWS // 40 + 1, COLS // 40 + 1)), np.ones((40, 40)))[:, :ROWS, :COLS]
    return (200 + fields + rng.normal(0, 5, (2, ROWS, COLS))).astype(np.float32)


def scene(make_scene: MakeScene, image: Image, name: str = "scene.tif") -> SceneFile:
    return SceneFile(name=name, path=make_scene(image, name, nodata=-1))


def to_the_clean_one(make_scene: MakeScene, method: Method, clean: Image, spoilt: Image) -> Image:
    """`spoilt` brought to the radiometry of `clean`."""
    with open_homogenised(scene(make_scene, clean, "clean.tif"), None) as source:
        homogenise = Homogenise(method=method, reference=reference_of([measure(source, method)]))
    with open_homogenised(scene(make_scene, spoilt, "spoilt.tif"), homogenise) as source:
        return source.read(Window(0, 0, ROWS, COLS))[0]


def rms(difference: Image) -> float:
    return float(np.sqrt((difference.astype(np.float64) ** 2).mean()))


@pytest.mark.parametrize(("method", "tolerance"), [("robust", 0.1), ("histogram", 1.0)])
def test_a_cast_is_taken_away(make_scene: MakeScene, method: Method, tolerance: float) -> None:
    clean = land()
    gain, offset = np.array([1.3, 0.7])[:, None, None], np.array([-40, 55])[:, None, None]
    spoilt = (gain * clean + offset).astype(np.float32)
    assert rms(spoilt - clean) > 5, "it was far off"
    assert rms(to_the_clean_one(make_scene, method, clean, spoilt) - clean) < tolerance


def test_haze_is_taken_away_where_the_others_cannot(make_scene: MakeScene) -> None:
    clean = land()
    down, across = np.mgrid[0:ROWS, 0:COLS] / 600
    veil = 120 * np.exp(-((down - 0.2) ** 2 + (across - 0.3) ** 2) / 0.3)
    hazy = (clean + veil).astype(np.float32)
    left = {method: rms(to_the_clean_one(make_scene, method, clean, hazy) - clean) for method in METHODS}
    assert rms(hazy - clean) > 70
    assert left["wallis"] < 15, "of a veil of up to 120; what is left is less than the fields' own spread of 20"
    assert left["wallis"] < 0.8 * min(left["robust"], left["histogram"])


@pytest.mark.parametrize("method", ["robust", "histogram"])
def test_a_scene_that_is_its_own_reference_stays_as_it_is(make_scene: MakeScene, method: Method) -> None:
    clean = land()
    assert np.abs(to_the_clean_one(make_scene, method, clean, clean) - clean).max() < 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_a_pixel_comes_out_the_same_to_the_bit_in_any_window(make_scene: MakeScene, method: Method) -> None:
    file = scene(make_scene, land(3))
    with open_homogenised(file, None) as plain:
        homogenise = Homogenise(method=method, reference=reference_of([measure(plain, method)]))
    rng = np.random.default_rng(0)
    with open_homogenised(file, homogenise) as source:
        whole, _ = source.read(Window(0, 0, ROWS, COLS))
        for _ in range(12):
            row, col = int(rng.integers(ROWS - 1)), int(rng.integers(COLS - 1))
            window = Window(row, col, int(rng.integers(1, 300)), int(rng.integers(1, 300))).clip(ROWS, COLS)
            assert np.array_equal(source.read(window)[0], whole[:, *window.slices])


@pytest.mark.parametrize("method", METHODS)
def test_what_is_not_valid_is_not_measured_and_stays_0(make_scene: MakeScene, method: Method) -> None:
    image = land()
    full = image.copy()
    image[:, 100:400, 50:300] = -1
    with RasterSource(scene(make_scene, image).path) as source:
        found = measure(source, method)
        seen = HomogenisedSource(source, Homogenise(method=method, reference=reference_of([found])), found)
        changed, valid = seen.read(Window(0, 0, ROWS, COLS))
    expected = full[:, valid].mean(axis=1)
    assert [band.mean for band in found.bands] == pytest.approx(expected.tolist(), rel=1e-4)
    assert not valid[100:400, 50:300].any()
    assert (changed[:, ~valid] == 0).all()


def test_numbers_that_are_known_are_not_measured_again(make_scene: MakeScene) -> None:
    file = scene(make_scene, land())
    with open_homogenised(file, None) as source:
        found = measure(source, "robust")
    shifted = found.model_copy(update={"bands": tuple(b.model_copy(update={"median": 0.0}) for b in found.bands)})
    homogenise = Homogenise(method="robust", reference=found.bands)
    with open_homogenised(file.model_copy(update={"radiometry": shifted}), homogenise) as source:
        changed, _ = source.read(Window(0, 0, 8, 8))
    assert np.allclose(changed, land()[:, :8, :8] + np.array([b.median for b in found.bands])[:, None, None], atol=0.01)


@pytest.mark.parametrize("method", METHODS)
def test_a_constant_band_gives_finite_values(make_scene: MakeScene, method: Method) -> None:
    flat = land()
    flat[1] = 7
    changed = to_the_clean_one(make_scene, method, land(), flat)
    assert np.isfinite(changed).all()


def test_the_reference_is_the_mean_of_the_scenes(make_scene: MakeScene) -> None:
    measured = []
    for number, shift in enumerate((0, 100)):
        with open_homogenised(scene(make_scene, land() + np.float32(shift), f"{number}.tif"), None) as source:
            measured.append(measure(source, "robust"))
    (first, _), (second, _) = (found.bands for found in measured)
    reference, _ = reference_of(measured)
    assert reference.median == pytest.approx((first.median + second.median) / 2)
    assert reference.quantiles[50] == pytest.approx(reference.median)
    assert reference.mad == pytest.approx(first.mad, rel=0.01)
