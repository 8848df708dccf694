"""Panels of scenes and maps have the right colours at the right places, and the right numbers."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from ml.figures.maps import Panel, draw_row, mask_panel, scene_panel
from ml.labels.classes import LabelOptions
from ml.labels.rasterise import rasterise
from ml.products.palette import CANE, OTHER, UNOBSERVED
from ml.synthetic import SyntheticScene, make_scene


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> SyntheticScene:
    return make_scene(tmp_path_factory.mktemp("scene"), "s", seed=2, size_px=256, nodata_fraction=0.1)


@pytest.fixture
def truth(scene: SyntheticScene, tmp_path: Path) -> Path:
    options = LabelOptions(class_field="crop", classes={"sugarcane": 1, "*": 0})
    rasterise([(scene.plots, options)], scene.image, tmp_path / "truth.tif")
    return tmp_path / "truth.tif"


def colours(panel: Panel) -> set[tuple[int, ...]]:
    return set(map(tuple, (panel.image.reshape(-1, 3) * 255).round().astype(int).tolist()))


def test_a_mask_is_green_and_black_and_has_its_hectares_in_the_title(scene: SyntheticScene, truth: Path) -> None:
    panel = mask_panel("truth", truth)
    assert {CANE, OTHER} <= colours(panel) <= {CANE, OTHER, UNOBSERVED}
    title, hectares = panel.title.split(": ")
    assert title == "truth"
    assert float(hectares.removesuffix(" ha")) == pytest.approx(scene.truth_ha["sugarcane"], abs=0.06)


def test_nodata_is_grey_in_the_picture_of_a_scene(scene: SyntheticScene) -> None:
    panel = scene_panel("image", scene.image)
    assert tuple((panel.image[0, 0] * 255).round()) == UNOBSERVED
    assert np.ptp(panel.image[128:]) > 0.8  # the other pixels are stretched to the full range
    assert panel.pixel_m == pytest.approx(0.8, rel=0.01)


def test_a_large_scene_is_thinned_and_has_the_right_scale(tmp_path: Path) -> None:
    panel = scene_panel("image", make_scene(tmp_path, "s", seed=2, size_px=1100).image)
    assert max(panel.image.shape) <= 1024
    assert panel.pixel_m == pytest.approx(1.6, rel=0.01)


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_panels_are_drawn_beside_each_other(scene: SyntheticScene, truth: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"figure.{suffix}"
    draw_row([scene_panel("image", scene.image), mask_panel("truth", truth)], out, caption="a caption")
    if suffix == "png":
        rows, cols, _ = imread(out).shape
        assert cols > 1.5 * rows
    else:
        assert "</svg>" in out.read_text()
