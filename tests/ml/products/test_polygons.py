"""A class map is turned into polygons."""

import json
import sqlite3
import time
from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine

from ml.contract import BINARY, ClassDef
from ml.geo.areas import polygon_area_ha
from ml.labels.read import read_layer
from ml.products.polygon_files import write_polygons
from ml.products.polygons import patches
from ml.products.write import class_areas_ha
from tests.ml.conftest import MakeScene


@pytest.fixture
def classes(make_scene: MakeScene) -> Path:
    """A class map with a square field of 400 pixels, a hole of 16 in it, a single pixel at its corner, and nodata."""
    values = np.zeros((1, 100, 100), np.uint8)
    values[0, 10:30, 10:30] = 1
    values[0, 15:19, 15:19] = 0
    values[0, 30, 30] = 1
    values[0, 60:] = 255
    return make_scene(values, "classes.tif", nodata=255)


def test_polygons_cover_exactly_the_pixels_of_the_class(classes: Path) -> None:
    (found,) = patches(classes, {1})
    assert sorted((shapely.area(found.geometries) / 100).round()) == [1, 400 - 16]
    assert found.values.tolist() == [1, 1]
    assert found.areas_ha.sum() == pytest.approx(class_areas_ha(classes)[1], rel=1e-6)
    assert not list(classes.parent.glob("*.traced"))


def test_both_files_have_the_same_polygons(classes: Path, tmp_path: Path) -> None:
    geojson, geopackage = tmp_path / "polygons.geojson", tmp_path / "polygons.gpkg"
    assert write_polygons(classes, BINARY, geojson, geopackage, min_area_ha=0) == 2
    features = json.loads(geojson.read_text())["features"]
    assert {feature["properties"]["name"] for feature in features} == {"sugarcane"}
    field = max((shapely.geometry.shape(feature["geometry"]) for feature in features), key=lambda shape: shape.area)
    assert len(field.interiors) == 1
    assert field.exterior.is_ccw
    assert 104 < field.centroid.x < 106
    with sqlite3.connect(geopackage) as connection:
        rows = connection.execute("SELECT class, name, area_ha FROM classes").fetchall()
        srs = connection.execute("SELECT srs_id FROM gpkg_contents").fetchall()
    connection.close()
    assert srs == [(32648,)]
    in_geojson = sorted(feature["properties"]["area_ha"] for feature in features)
    assert sorted(area for _, _, area in rows) == pytest.approx(in_geojson, abs=1e-6)


RICE_AND_OTHERS = (
    ClassDef(value=0, name="rice"),
    ClassDef(value=10, name="cane"),
    ClassDef(value=254, name="cassava"),
)


def test_of_more_than_two_classes_all_have_polygons_whatever_their_values(
    make_scene: MakeScene, tmp_path: Path
) -> None:
    values = np.full((1, 40, 40), 10, np.uint8)
    values[0, :10], values[0, 20:30], values[0, 30:] = 0, 254, 255
    path = make_scene(values, "three.tif", nodata=255)
    geojson, geopackage = tmp_path / "polygons.geojson", tmp_path / "polygons.gpkg"
    assert write_polygons(path, RICE_AND_OTHERS, geojson, geopackage, min_area_ha=0) == 3
    properties = [feature["properties"] for feature in json.loads(geojson.read_text())["features"]]
    assert sorted((each["class"], each["name"]) for each in properties) == [(0, "rice"), (10, "cane"), (254, "cassava")]
    mapped_ha = class_areas_ha(path)
    assert {each["class"]: each["area_ha"] for each in properties} == pytest.approx(
        {value: mapped_ha[value] for value in (0, 10, 254)}, rel=1e-4
    )
    assert {feature.properties["name"] for feature in read_layer(geopackage).features} == {"rice", "cane", "cassava"}


def test_of_two_classes_class_0_has_no_polygon_whatever_it_is_called(make_scene: MakeScene, tmp_path: Path) -> None:
    values = np.zeros((1, 20, 20), np.uint8)
    values[0, :5] = 1
    named = ClassDef(value=0, name="rice"), ClassDef(value=1, name="cane")
    files = tmp_path / "a.geojson", tmp_path / "a.gpkg"
    path = make_scene(values, "two.tif", nodata=255)
    assert write_polygons(path, named, *files, min_area_ha=0) == 1


def test_small_patches_are_left_out_on_request(classes: Path, tmp_path: Path) -> None:
    files = tmp_path / "a.geojson", tmp_path / "a.gpkg"
    assert [write_polygons(classes, BINARY, *files, min_area_ha=ha) for ha in (0.5, 500)] == [1, 0]


def test_no_patch_is_lost_among_thousands(make_scene: MakeScene, tmp_path: Path) -> None:
    lonely = np.zeros((1, 160, 160), np.uint8)
    lonely[0, ::2, ::2] = 1
    path = make_scene(lonely, "lonely.tif", nodata=255)
    assert [len(some.values) for some in patches(path, {1})] == [4096, 6400 - 4096]
    files = tmp_path / "a.geojson", tmp_path / "a.gpkg"
    assert write_polygons(path, BINARY, *files, min_area_ha=0) == 6400
    for layer in map(read_layer, files):
        assert layer.crs is not None
        outlines = np.array([feature.geometry for feature in layer.features])
        assert len(outlines) == 6400
        assert polygon_area_ha(outlines, layer.crs).sum() == pytest.approx(64, rel=2e-3)


def test_a_map_without_the_class_gives_valid_empty_files(make_scene: MakeScene, tmp_path: Path) -> None:
    empty = make_scene(np.zeros((1, 64, 64), np.uint8), "empty.tif", nodata=255)
    assert write_polygons(empty, BINARY, tmp_path / "a.geojson", tmp_path / "a.gpkg", min_area_ha=0) == 0
    assert json.loads((tmp_path / "a.geojson").read_text()) == {"type": "FeatureCollection", "features": []}


def test_the_areas_of_a_map_in_degrees_are_geodesic(make_scene: MakeScene) -> None:
    degrees = Affine(0.0001, 0, 108, 0, -0.0001, 23)
    values = np.ones((1, 50, 50), np.uint8)
    path = make_scene(values, "degrees.tif", crs="EPSG:4326", transform=degrees, nodata=255)
    (found,) = patches(path, {1})
    assert found.areas_ha.tolist() == [pytest.approx(class_areas_ha(path)[1], rel=1e-6)]


def test_a_crs_without_an_authority_is_defined_in_the_geopackage(make_scene: MakeScene, tmp_path: Path) -> None:
    degrees = Affine(0.0001, 0, 108, 0, -0.0001, 23)
    path = make_scene(np.ones((1, 9, 9), np.uint8), "crs84.tif", crs="OGC:CRS84", transform=degrees)
    write_polygons(path, BINARY, tmp_path / "a.geojson", tmp_path / "a.gpkg", min_area_ha=0)
    (feature,) = read_layer(tmp_path / "a.gpkg").features
    assert feature.geometry.bounds == pytest.approx((108, 22.9991, 108.0009, 23))


def test_the_same_map_gives_the_same_bytes_at_any_time(classes: Path, tmp_path: Path) -> None:
    written = []
    for name in ("first", "second"):
        files = tmp_path / f"{name}.geojson", tmp_path / f"{name}.gpkg"
        write_polygons(classes, BINARY, *files, min_area_ha=0)
        written.append([file.read_bytes() for file in files])
        time.sleep(0.01)  # a GeoPackage normally stores the time of writing in milliseconds
    assert written[0] == written[1]
