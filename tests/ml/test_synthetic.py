"""Synthetic scenes whose crops are known."""

import json
from pathlib import Path

import numpy as np
import pytest
from pyproj import Geod, Transformer
from rasterio.coords import BoundingBox, disjoint_bounds
from rasterio.features import rasterize
from rasterio.warp import transform_geom

from ml.geo.raster import open_raster
from ml.synthetic import BANDS, NODATA, UTM_49N, SyntheticScene, make_scene


@pytest.fixture
def scene(tmp_path: Path) -> SyntheticScene:
    return make_scene(tmp_path, "scene", seed=3, size_px=320, nodata_fraction=0.08)


def rasterised(scene: SyntheticScene, crop: str) -> np.ndarray:
    """Pixels whose centre lies in a plot of the crop, according to the file of plots, bool (rows, cols)."""
    features = json.loads(scene.plots.read_text())["features"]
    with open_raster(scene.image) as image:
        shapes = [
            transform_geom("EPSG:4326", UTM_49N.to_string(), feature["geometry"])
            for feature in features
            if feature["properties"]["crop"] == crop
        ]
        return np.asarray(rasterize(shapes, image.shape, transform=image.transform), bool)


@pytest.mark.parametrize("crop", ["sugarcane", "maize", "cassava"])
def test_the_true_area_is_the_area_of_the_rasterised_plots(scene: SyntheticScene, crop: str) -> None:
    with open_raster(scene.image) as image:
        to_wgs84 = Transformer.from_crs(UTM_49N, "EPSG:4326", always_xy=True)
        west, south, east, north = image.bounds
        lon, lat = to_wgs84.transform([west, east, east, west], [south, south, north, north])
        scene_m2 = abs(Geod(ellps="WGS84").polygon_area_perimeter(lon, lat)[0])
        pixel_ha = scene_m2 / image.width / image.height / 10_000
    assert rasterised(scene, crop).sum() * pixel_ha == pytest.approx(scene.truth_ha[crop], rel=0.01)


def test_the_same_seed_gives_the_same_bytes(scene: SyntheticScene, tmp_path: Path) -> None:
    again = make_scene(tmp_path / "again", "scene", seed=3, size_px=320, nodata_fraction=0.08)
    assert again.image.read_bytes() == scene.image.read_bytes()
    assert again.plots.read_bytes() == scene.plots.read_bytes()
    assert again.truth_ha == scene.truth_ha


def test_scenes_with_different_seeds_do_not_overlap(tmp_path: Path) -> None:
    bounds = []
    for seed in (0, 1, 20):
        with open_raster(make_scene(tmp_path, str(seed), seed=seed, size_px=64).image) as image:
            bounds.append(BoundingBox(*image.bounds))
    for one, other in [(0, 1), (0, 2), (1, 2)]:
        assert disjoint_bounds(bounds[one], bounds[other])


def test_a_scene_is_a_tiled_geotiff_with_named_bands(scene: SyntheticScene) -> None:
    with open_raster(scene.image) as image:
        assert image.dtypes == ("uint16",) * 4
        assert image.descriptions == BANDS
        assert image.crs.to_epsg() == 32649
        assert image.block_shapes[0] == (256, 256)
        assert image.nodata == NODATA


def test_no_plot_reaches_into_nodata(scene: SyntheticScene) -> None:
    with open_raster(scene.image) as image:
        missing = (image.read() == NODATA).all(axis=0)
    assert missing.mean() == pytest.approx(0.08, abs=0.01)
    assert not any((rasterised(scene, crop) & missing).any() for crop in scene.truth_ha)


def test_the_look_alike_has_the_colour_of_cane_but_not_its_rows(tmp_path: Path) -> None:
    scene = make_scene(tmp_path, "scene", seed=5, size_px=512)
    with open_raster(scene.image) as image:
        nir = image.read(4).astype(float)
    cane, maize = nir[rasterised(scene, "sugarcane")], nir[rasterised(scene, "maize")]
    assert abs(cane.mean() - maize.mean()) < 0.5 * cane.std()
    # The mean of 3 x 3 pixels removes the grain of maize and keeps the rows of cane.
    smooth = sum(np.roll(nir, (row, col), (0, 1)) for row in (-1, 0, 1) for col in (-1, 0, 1)) / 9
    steps = np.abs(np.diff(smooth, axis=0, append=smooth[-1:])) + np.abs(np.diff(smooth, axis=1, append=smooth[:, -1:]))
    assert steps[rasterised(scene, "sugarcane")].mean() > 1.4 * steps[rasterised(scene, "maize")].mean()
