"""Maps and scenes are written as cloud-optimised GeoTIFFs."""

from pathlib import Path

import numpy as np
import rasterio

from ml.geo.raster import open_raster
from ml.products.cog import MapEncoding, is_cog, to_cog, write_cog
from tests.ml.conftest import MakeScene

LAYER = MapEncoding("class", colours={0: (0, 0, 0, 255), 1: (76, 175, 80, 255)}, tags={"class_1": "sugarcane"})


def test_a_map_lies_on_exactly_the_grid_of_its_scene(make_scene: MakeScene, tmp_path: Path) -> None:
    scene = make_scene(np.zeros((4, 700, 600), np.uint16))
    values = np.random.default_rng(0).choice(np.array([0, 1, 255], np.uint8), (700, 600))
    write_cog(values, scene, tmp_path / "classes.tif", LAYER)
    with open_raster(tmp_path / "classes.tif") as made, open_raster(scene) as original:
        assert (made.crs, made.transform, made.shape) == (original.crs, original.transform, original.shape)
        assert np.array_equal(made.read(1), values)
        assert made.nodata == 255
        assert made.colormap(1)[1] == (76, 175, 80, 255)
        assert made.tags()["class_1"] == "sugarcane"
        assert made.descriptions == ("class",)
        assert made.overviews(1)
    assert is_cog(tmp_path / "classes.tif")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["classes.tif", "scene.tif"]


def test_overviews_of_a_class_map_have_only_values_of_classes(make_scene: MakeScene, tmp_path: Path) -> None:
    values = np.random.default_rng(0).choice(np.array([0, 200], np.uint8), (1100, 1100))
    write_cog(values, make_scene(np.zeros((1, 1100, 1100), np.uint8)), tmp_path / "classes.tif", LAYER)
    with open_raster(tmp_path / "classes.tif") as made:
        assert set(np.unique(made.read(1, out_shape=(275, 275)))) <= {0, 200}


def test_a_scaled_map_has_its_scale_and_its_offset(make_scene: MakeScene, tmp_path: Path) -> None:
    layer = MapEncoding("probability", scale=0.004, offset=0.002, resampling="average")
    write_cog(np.full((64, 64), 125, np.uint8), make_scene(np.zeros((1, 64, 64), np.uint8)), tmp_path / "p.tif", layer)
    with open_raster(tmp_path / "p.tif") as made:
        assert (made.scales, made.offsets) == ((0.004,), (0.002,))


def test_a_scene_becomes_a_cog_without_changing_a_pixel(make_scene: MakeScene, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 60_000, (4, 600, 700), dtype=np.uint16)
    scene = make_scene(image, nodata=0)
    assert not is_cog(scene)
    to_cog(scene, tmp_path / "cog.tif")
    assert is_cog(tmp_path / "cog.tif")
    with open_raster(tmp_path / "cog.tif") as made:
        assert np.array_equal(made.read(), image)
        assert made.nodata == 0


def test_overviews_of_a_scene_are_computed_from_its_pixels(make_scene: MakeScene, tmp_path: Path) -> None:
    scene = make_scene(np.full((1, 1100, 1100), 7, np.uint8))
    with rasterio.open(scene, "r+") as dataset:
        dataset.build_overviews([2])
        dataset.write(np.full((1, 1100, 1100), 9, np.uint8))
    to_cog(scene, tmp_path / "cog.tif")
    with open_raster(tmp_path / "cog.tif") as made:
        assert (made.read(1, out_shape=(550, 550)) == 9).all()
