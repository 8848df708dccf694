from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from ml.contract import Homogenise, Method
from ml.data import SceneFile
from ml.faults import InputRefused
from ml.geo.windows import Window
from ml.radiometry.homogenise import HomogenisedSource, contrast, open_homogenised
from ml.radiometry.measure import measure, reference_of
from ml.scenes.source import RasterSource
from tests.ml.conftest import MakeScene

SIDE = 320  # two by two cells, of which the outer ones are small
METHODS: tuple[Method, ...] = get_args(Method)


def landscape(seed: int = 0, side: int = SIDE) -> np.ndarray:
    """Return plots of 20 px with noise, similar everywhere, shape (2, side, side), float32."""
    random = np.random.default_rng(seed)
    plots = np.kron(random.gamma(9, 60, (2, side // 20, side // 20)), np.ones((20, 20)))
    return np.asarray(plots + random.normal(300, 20, plots.shape), np.float32)


def cast(image: np.ndarray) -> np.ndarray:
    """Add a colour cast: a gain and an offset for each of the two bands."""
    gain, offset = np.array([[1.3, 0.7], [-60, 90]])[..., None, None]
    return np.asarray(gain * image + offset, np.float32)


def hazy(image: np.ndarray) -> np.ndarray:
    """Add haze that grows from the upper left to the lower right corner."""
    rows, cols = np.indices(image.shape[1:]) / image.shape[1]
    return np.asarray(image + 900 * (rows + cols) / 2, np.float32)


def to_match(clean: Path, method: Method) -> Homogenise:
    """Return the homogenisation to the radiometry of one scene."""
    with RasterSource(clean, 0) as source:
        return Homogenise(method=method, reference=reference_of([measure(source, method)]))


def read(path: Path, homogenise: Homogenise | None) -> tuple[np.ndarray, np.ndarray]:
    with open_homogenised(SceneFile(name="scene", path=path, nodata=0), homogenise) as source:
        return source.read(Window(0, 0, source.rows, source.cols))


def distance(image: np.ndarray, clean: np.ndarray) -> float:
    """Return the root mean square difference of the worse band, in standard deviations of the clean band."""
    return float((np.sqrt(np.mean((image - clean) ** 2, axis=(1, 2))) / clean.std(axis=(1, 2))).max())


@pytest.mark.parametrize("method", ["robust", "histogram"])
def test_a_known_colour_cast_is_removed(make_scene: MakeScene, method: Method) -> None:
    clean = landscape()
    homogenise = to_match(make_scene(clean, "clean.tif"), method)
    path = make_scene(cast(clean), "cast.tif")
    assert distance(read(path, None)[0], clean) > 0.3
    assert distance(read(path, homogenise)[0], clean) < 0.002


def test_a_known_colour_cast_is_removed_from_a_scene_of_another_place(make_scene: MakeScene) -> None:
    """The reference comes from another scene with the same kind of fields, so some difference remains."""
    clean = landscape(1, side=600)
    homogenise = to_match(make_scene(landscape(side=600), "clean.tif"), "robust")
    assert distance(read(make_scene(cast(clean), "cast.tif"), homogenise)[0], clean) < 0.1


def test_wallis_removes_haze_better_than_the_global_methods(make_scene: MakeScene) -> None:
    clean = landscape(side=900)
    reference, path = make_scene(clean, "clean.tif"), make_scene(hazy(clean), "hazy.tif")
    by = {method: distance(read(path, to_match(reference, method))[0], clean) for method in METHODS}
    assert by["wallis"] < 0.4
    assert by["wallis"] < 0.6 * min(by["robust"], by["histogram"])


@pytest.mark.parametrize("method", METHODS)
def test_the_reference_scene_does_not_change(make_scene: MakeScene, method: Method) -> None:
    image = landscape()[:, :256, :256]  # one cell: its local statistics are the scene's own
    path = make_scene(image, nodata=0)
    assert np.allclose(read(path, to_match(path, method))[0], image, rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_a_pixel_has_the_same_bits_in_every_window(make_scene: MakeScene, method: Method) -> None:
    homogenise = to_match(make_scene(landscape(), "clean.tif"), method)
    scene = SceneFile(name="scene", path=make_scene(hazy(cast(landscape(1)))))
    random = np.random.default_rng(4)
    with open_homogenised(scene, homogenise) as source:
        whole, _ = source.read(Window(0, 0, SIDE, SIDE))
        for _ in range(40):
            row, col = (int(n) for n in random.integers(0, SIDE, 2))
            window = Window(row, col, *(int(n) for n in random.integers(1, 200, 2))).clip(SIDE, SIDE)
            image, _ = source.read(window)
            assert image.dtype == np.float32
            assert image.tobytes() == whole[:, *window.slices].tobytes()


@pytest.mark.parametrize("method", METHODS)
def test_pixels_that_are_not_valid_become_0_and_do_not_affect_others(make_scene: MakeScene, method: Method) -> None:
    homogenise = to_match(make_scene(landscape(), "clean.tif"), method)
    image = landscape(1)
    image[:, :200] = 0
    image[0, 300, 7] = np.nan
    without, valid = read(make_scene(image), homogenise)
    assert (valid == ((image != 0).any(axis=0) & np.isfinite(image).all(axis=0))).all()
    assert (without[:, ~valid] == 0).all() and np.isfinite(without).all()
    image[:, :200] = np.nan
    image[:, 300, 7] = np.nan
    assert (read(make_scene(image), homogenise)[0] == without).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_constant_band_stays_constant(make_scene: MakeScene, method: Method) -> None:
    homogenise = to_match(make_scene(landscape(), "clean.tif"), method)
    image = landscape(1)
    image[1] = 77
    changed, _ = read(make_scene(image), homogenise)
    assert np.ptp(changed[1]) < 1e-3
    assert changed[1, 0, 0] == pytest.approx(homogenise.reference[1].mean, rel=0.15)


@pytest.mark.parametrize("method", METHODS)
def test_stored_radiometry_is_not_measured_again(make_scene: MakeScene, method: Method) -> None:
    clean = make_scene(landscape(), "clean.tif")
    homogenise = to_match(clean, method)
    with RasterSource(clean, 0) as source:
        stored = measure(source, method)
    scene = SceneFile(name="scene", path=make_scene(cast(landscape())), radiometry=stored)
    with open_homogenised(scene, homogenise) as source, RasterSource(scene.path) as plain:
        window = Window(5, 5, 40, 40)
        by_stored = HomogenisedSource(plain, homogenise, stored).read(window)[0]
        assert (source.read(window)[0] == by_stored).all()


def test_radiometry_stored_for_another_method_is_measured_again(make_scene: MakeScene) -> None:
    path = make_scene(landscape())
    with RasterSource(path) as source:
        scene = SceneFile(name="scene", path=path, radiometry=measure(source, "robust"))
    with open_homogenised(scene, to_match(path, "wallis")) as source:
        assert source.read(Window(0, 0, 9, 9))[1].all()


def test_a_homogenised_source_has_the_size_and_transform_of_the_file(make_scene: MakeScene) -> None:
    path = make_scene(landscape().astype(np.uint16))
    scene = SceneFile(name="scene", path=path)
    with open_homogenised(scene, None) as plain, open_homogenised(scene, to_match(path, "robust")) as changed:
        assert plain.dtype == np.dtype(np.uint16)
        assert changed.dtype == np.dtype(np.float32)
        assert plain.dataset.transform == changed.dataset.transform
        assert (plain.bands, plain.rows, plain.cols) == (changed.bands, changed.rows, changed.cols)


def test_a_reference_with_other_bands_is_an_error(make_scene: MakeScene) -> None:
    homogenise = to_match(make_scene(landscape(), "clean.tif"), "wallis")
    path = make_scene(landscape()[:1])
    with pytest.raises(ValueError):
        read(path, homogenise)
    with RasterSource(path) as source, pytest.raises(ValueError, match="local statistics"):
        HomogenisedSource(source, homogenise, measure(source, "robust"))


def test_an_empty_scene_is_refused_when_it_must_be_measured(make_scene: MakeScene) -> None:
    homogenise = to_match(make_scene(landscape(), "clean.tif"), "robust")
    with pytest.raises(InputRefused, match="Every pixel"):
        read(make_scene(np.zeros((2, 10, 10), dtype=np.uint8)), homogenise)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("share", [0.0, 0.25, 2.0])
def test_the_contrast_of_a_scene_is_told_as_a_share_of_that_of_the_reference(
    make_scene: MakeScene, method: Method, share: float
) -> None:
    clean = landscape()
    homogenise = to_match(make_scene(clean, "clean.tif"), method)
    path = make_scene(np.asarray(700 + share * clean, np.float32), "pale.tif")
    assert contrast(SceneFile(name="pale", path=path, nodata=0), homogenise) == pytest.approx(share, rel=1e-4)


def test_a_reference_without_contrast_tells_nothing_of_a_scene(make_scene: MakeScene) -> None:
    homogenise = to_match(make_scene(np.full((2, SIDE, SIDE), 300, np.float32), "flat.tif"), "robust")
    scene = SceneFile(name="scene", path=make_scene(landscape(), "clean.tif"), nodata=0)
    assert contrast(scene, homogenise) is None
