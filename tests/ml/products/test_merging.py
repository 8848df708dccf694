"""Small patches are merged into their neighbours before a map is traced, and the polygons know their probability."""

import json
from pathlib import Path

import numpy as np
import pytest
import shapely
from exactextract.exact_extract import exact_extract
from pyogrio.raw import read
from scipy.ndimage import label  # type: ignore[attr-defined]

from ml.config import MMU_HA, PredictConfig
from ml.contract import BINARY, ClassDef, Contract
from ml.geo.raster import open_raster
from ml.products import mean_probability
from ml.products.mean_probability import Probabilities
from ml.products.merging import least_pixels, merged
from ml.products.polygon_files import write_polygons
from ml.products.polygons import patches
from ml.products.simplification import simplification
from ml.products.write import MapLayers, class_areas_ha, write_products
from tests.ml.conftest import MakeScene
from tests.ml.products.test_simplification import THREE, class_map

NODATA = 255


def components(values: np.ndarray) -> list[np.ndarray]:
    """The patches of a map as masks, found by SciPy."""
    found = []
    for value in np.unique(values[values != NODATA]):
        numbers, count = label(values == value)
        found += [numbers == number for number in range(1, count + 1)]
    return found


def merged_map(path: Path, least_px: int) -> np.ndarray:
    with merged(path, least_px) as smooth, open_raster(smooth) as dataset:
        return np.asarray(dataset.read(1))


@pytest.mark.parametrize("noise", [0.02, 1.0])
def test_every_patch_has_the_least_size_unless_nothing_lies_beside_it(make_scene: MakeScene, noise: float) -> None:
    values = class_map(3, noise)
    values[0, 5, 5] = 1  # a lonely pixel in the corner without data
    path = make_scene(values, nodata=NODATA)
    found = merged_map(path, 9)
    np.testing.assert_array_equal(found == NODATA, values[0] == NODATA)
    small = [mask for mask in components(found) if mask.sum() < 9]
    assert [mask.sum() for mask in small] == [1]
    assert small[0][5, 5]
    assert len(components(found)) < len(components(values[0])) / 2
    assert {each.name for each in path.parent.iterdir()} == {path.name}


def test_a_hole_is_filled_and_a_speck_goes_to_the_largest_neighbour(make_scene: MakeScene) -> None:
    values = np.zeros((1, 30, 30), np.uint8)
    values[0, :, 20:] = 2
    values[0, 3:15, 3:15] = 1
    values[0, 6:8, 6:8] = 0  # a hole of four pixels
    values[0, 20:22, 19:21] = 1  # a speck between class 0 and the smaller class 2
    expected = values[0].copy()
    expected[6:8, 6:8], expected[20:22, 19:21] = 1, 0
    path = make_scene(values, nodata=NODATA)
    np.testing.assert_array_equal(merged_map(path, 5), expected)
    np.testing.assert_array_equal(merged_map(path, 4), values[0])
    with merged(path, 1) as same:
        assert same == path


def test_the_unit_is_counted_in_pixels_on_the_ground(make_scene: MakeScene) -> None:
    ten_metres = make_scene(np.zeros((1, 100, 100), np.uint8))
    assert [least_pixels(ten_metres, ha) for ha in (0, 0.01, MMU_HA, 0.1, 0.41)] == [1, 1, 4, 10, 41]


def test_merged_and_simplified_patches_have_no_gaps_and_no_overlaps(make_scene: MakeScene) -> None:
    path = make_scene(class_map(3, 0.1), nodata=NODATA)
    with merged(path, 9) as smooth, simplification(smooth, [0, 1, 2], 20) as simplify:
        drawn = np.concatenate([simplify(some.geometries) for some in patches(smooth, [0, 1, 2])])
    assert shapely.is_valid(drawn).all()
    assert shapely.coverage_is_valid(drawn)


@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_are_the_means_that_exactextract_finds(
    make_scene: MakeScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, classes: int
) -> None:
    monkeypatch.setattr(mean_probability, "_STRIP_PX", 700)  # seven rows at once
    values = class_map(classes, 0.05)
    probability = np.random.default_rng(1).integers(0, 250, values.shape).astype(np.uint8)
    path = make_scene(values, nodata=NODATA)
    known = Probabilities(probability[0], values[0] if classes > 2 else None)
    files = tmp_path / "a.geojson", tmp_path / "a.gpkg"
    with merged(path, 9) as smooth:
        write_polygons(smooth, THREE[:classes], *files, min_area_ha=0, probabilities=known)
    _, _, _, (number, _, _, mean) = read(files[1], layer="classes")
    told = []
    for value in np.unique(number):
        counted = probability if classes == 2 else np.where(values == value, probability, NODATA)
        raster = make_scene(counted, f"of_{value}.tif", nodata=NODATA)
        outlines = shapely.from_wkb(read(files[1], layer="classes", where=f"class = {value}")[2])
        features = [{"type": "Feature", "geometry": json.loads(text)} for text in shapely.to_geojson(outlines)]
        told += [(each["properties"]["mean"] + 0.5) / 250 for each in exact_extract(str(raster), features, ["mean"])]
    in_order = np.concatenate([mean[number == value] for value in np.unique(number)])
    np.testing.assert_allclose(in_order, told, atol=6e-5)
    of_geojson = [each["properties"]["probability"] for each in json.loads(files[0].read_text())["features"]]
    assert of_geojson == mean.tolist()


def test_without_probabilities_the_attribute_is_null(make_scene: MakeScene, tmp_path: Path) -> None:
    path = make_scene(class_map(2), nodata=NODATA)
    write_polygons(path, BINARY, tmp_path / "a.geojson", tmp_path / "a.gpkg", min_area_ha=0)
    features = json.loads((tmp_path / "a.geojson").read_text())["features"]
    assert {each["properties"]["probability"] for each in features} == {None}
    assert np.isnan(read(tmp_path / "a.gpkg", layer="classes")[3][3].astype(float)).all()


def contract_of(classes: tuple[ClassDef, ...]) -> Contract:
    return Contract(bands=("red",), dtype="uint8", gsd=10, nodata=None, statistics=(), classes=classes)


@pytest.mark.parametrize("mmu_ha", [None, 0.0, 0.2])
def test_the_hectares_that_merging_moves_are_told(make_scene: MakeScene, tmp_path: Path, mmu_ha: float | None) -> None:
    values = class_map(3, 0.05)
    scene = make_scene(values, nodata=NODATA)
    config = PredictConfig(outputs=("polygons",), mmu_ha=mmu_ha, min_area_ha=0.6)
    out = tmp_path / "out"
    out.mkdir()
    probability = np.full_like(values[0], 200)
    result = write_products(MapLayers(values[0], probability), scene, contract_of(THREE), config, out)
    assert result.polygons is not None
    assert result.polygons.mmu_ha == (MMU_HA if mmu_ha is None else mmu_ha)
    assert result.polygons.mmu_px == {None: 4, 0.0: 1, 0.2: 20}[mmu_ha]
    written = json.loads((out / "polygons.geojson").read_text())["features"]
    mapped_ha = class_areas_ha(scene)
    moved = [each.merged_ha for each in result.polygons.classes]
    assert sum(moved) == pytest.approx(0, abs=1e-9)
    assert all(moved) == (mmu_ha != 0)
    assert any(each.left_out_ha for each in result.polygons.classes) == (mmu_ha != 0.2)
    for item in result.polygons.classes:
        of_class = [each["properties"]["area_ha"] for each in written if each["properties"]["class"] == item.value]
        assert (len(of_class), sum(of_class)) == (item.count, pytest.approx(item.area_ha, abs=1e-4))
        assert item.mapped_ha == mapped_ha[item.value] == result.area_ha[item.value]
        assert item.mapped_ha + item.merged_ha == pytest.approx(item.area_ha + item.left_out_ha, rel=1e-5)
        assert min(of_class) >= 0.6
