"""A class map is turned into polygons."""

import json
import sqlite3
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import CRS, Geod, Transformer
from shapely.geometry import MultiPolygon, Polygon

from ml.contract import BINARY, ClassDef
from ml.geo.areas import polygon_area_ha
from ml.geo.grid import grid_of
from ml.geo.raster import open_raster
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


def number_written(*args: Any, **options: Any) -> int:
    """The number of polygons that `write_polygons` says it has written."""
    return sum(each.count for each in write_polygons(*args, **options).values())


def test_polygons_cover_exactly_the_pixels_of_the_class(classes: Path) -> None:
    (found,) = patches(classes, {1})
    assert sorted((shapely.area(found.geometries) / 100).round()) == [1, 400 - 16]
    assert found.values.tolist() == [1, 1]
    assert found.areas_ha.sum() == pytest.approx(class_areas_ha(classes)[1], rel=1e-6)
    assert not list(classes.parent.glob("*.traced"))


def test_both_files_have_the_same_polygons(classes: Path, tmp_path: Path) -> None:
    geojson, geopackage = tmp_path / "polygons.geojson", tmp_path / "polygons.gpkg"
    assert number_written(classes, BINARY, geojson, geopackage, min_area_ha=0) == 2
    features = json.loads(geojson.read_text())["features"]
    assert {feature["properties"]["name"] for feature in features} == {"sugarcane"}
    field = max((shapely.geometry.shape(feature["geometry"]) for feature in features), key=lambda shape: shape.area)
    assert len(field.interiors) == 1
    assert field.exterior.is_ccw
    assert 104 < field.centroid.x < 106
    with sqlite3.connect(geopackage) as connection:
        rows = connection.execute("SELECT class, name, area_ha FROM classes").fetchall()
        srs = connection.execute("SELECT srs_id FROM gpkg_contents WHERE data_type = 'features'").fetchall()
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
    assert number_written(path, RICE_AND_OTHERS, geojson, geopackage, min_area_ha=0) == 3
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
    assert number_written(path, named, *files, min_area_ha=0) == 1


def test_small_patches_are_left_out_on_request(classes: Path, tmp_path: Path) -> None:
    files = tmp_path / "a.geojson", tmp_path / "a.gpkg"
    assert [number_written(classes, BINARY, *files, min_area_ha=ha) for ha in (0.5, 500)] == [1, 0]


def test_no_patch_is_lost_among_thousands(make_scene: MakeScene, tmp_path: Path) -> None:
    lonely = np.zeros((1, 160, 160), np.uint8)
    lonely[0, ::2, ::2] = 1
    path = make_scene(lonely, "lonely.tif", nodata=255)
    assert [len(some.values) for some in patches(path, {1})] == [4096, 6400 - 4096]
    files = tmp_path / "a.geojson", tmp_path / "a.gpkg"
    assert number_written(path, BINARY, *files, min_area_ha=0) == 6400
    for layer in map(read_layer, files):
        assert layer.crs is not None
        outlines = np.array([feature.geometry for feature in layer.features])
        assert len(outlines) == 6400
        assert polygon_area_ha(outlines, layer.crs).sum() == pytest.approx(64, rel=2e-3)


def test_a_map_without_the_class_gives_valid_empty_files(make_scene: MakeScene, tmp_path: Path) -> None:
    empty = make_scene(np.zeros((1, 64, 64), np.uint8), "empty.tif", nodata=255)
    assert number_written(empty, BINARY, tmp_path / "a.geojson", tmp_path / "a.gpkg", min_area_ha=0) == 0
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


def written(classes: Path, tmp_path: Path) -> tuple[list[Polygon | MultiPolygon], list[float]]:
    """Return the polygons of polygons.geojson in degrees, and their `area_ha`."""
    geojson = tmp_path / "written.geojson"
    write_polygons(classes, BINARY, geojson, tmp_path / "written.gpkg", min_area_ha=0)
    features = json.loads(geojson.read_text())["features"]
    shapes = [shapely.geometry.shape(feature["geometry"]) for feature in features]
    return shapes, [feature["properties"]["area_ha"] for feature in features]


@pytest.mark.parametrize("gsd", [0.003, 0.01, 0.5, 3.0, 10.0, 30.0, 5000.0])
def test_every_polygon_is_valid_and_has_its_area_at_any_pixel_size(
    make_scene: MakeScene, tmp_path: Path, gsd: float
) -> None:
    speckle = (np.random.default_rng(0).random((1, 64, 64)) < 0.5).astype(np.uint8)
    path = make_scene(speckle, nodata=255, transform=Affine(gsd, 0, 700_000, 0, -gsd, 2_480_000))
    shapes, areas_ha = written(path, tmp_path)
    assert all(shape.is_valid for shape in shapes)
    back = Transformer.from_crs("OGC:CRS84", "EPSG:32648", always_xy=True)
    planar = shapely.area(shapely.transform(np.array(shapes), back.transform, interleaved=False)) / gsd**2
    assert planar == pytest.approx(planar.round(), rel=2e-3)
    assert planar.round().sum() == speckle.sum()
    scale = sum(areas_ha) / speckle.sum()  # UTM changes lengths
    assert areas_ha == pytest.approx(planar.round() * scale, rel=1e-3 if gsd < 1000 else 1e-2)
    if gsd < 1:
        assert planar == pytest.approx(planar.round(), rel=1e-3)


def test_usual_pixels_need_no_more_than_seven_decimals(classes: Path, tmp_path: Path) -> None:
    shapes, _ = written(classes, tmp_path)
    coordinates = shapely.get_coordinates(shapes)
    assert (coordinates == coordinates.round(7)).all()


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32701", Affine(10, 0, 179_970, 0, -10, 8_134_930)),
        ("EPSG:32660", Affine(10, 0, 819_600, 0, -10, -1_865_000)),
        ("EPSG:4326", Affine(1e-4, 0, 179.9968, 0, -1e-4, -16)),
        ("EPSG:4326", Affine(1e-4, 0, -180.0032, 0, -1e-4, -16)),
        ("EPSG:4167", Affine(1e-4, 0, 179.9968, 0, -1e-4, -40)),  # another datum than WGS 84
        ("EPSG:3857", Affine(10, 0, 20_037_508 - 320, 0, -10, -1_906_000)),
    ],
)
def test_polygons_are_cut_at_the_date_line(make_scene: MakeScene, tmp_path: Path, crs: str, transform: Affine) -> None:
    values = np.ones((1, 64, 64), np.uint8)
    values[0, 20:40, 10:60] = 0  # a hole across the date line
    path = make_scene(values, crs=crs, transform=transform, nodata=255)
    (shape,), (area_ha,) = written(path, tmp_path)
    assert shape.geom_type == "MultiPolygon" and shape.is_valid
    assert all(part.exterior.is_ccw and part.bounds[2] - part.bounds[0] < 0.02 for part in shape.geoms)
    assert max(abs(x) for x, _ in shapely.get_coordinates(shape)) == 180
    geod = Geod(ellps="WGS84")
    assert abs(geod.geometry_area_perimeter(shapely.orient_polygons(shape))[0]) / 1e4 == pytest.approx(
        area_ha, rel=1e-3
    )
    assert area_ha == pytest.approx(class_areas_ha(path)[1], rel=1e-6)


def test_degrees_beyond_180_are_written_as_those_on_the_other_side(make_scene: MakeScene, tmp_path: Path) -> None:
    values = np.ones((1, 64, 64), np.uint8)
    path = make_scene(values, crs="EPSG:4326", transform=Affine(1e-4, 0, 190, 0, -1e-4, 5), nodata=255)
    (shape,), _ = written(path, tmp_path)
    assert shape.bounds == pytest.approx((-170, 4.9936, -169.9936, 5))


def test_a_patch_around_a_pole_reaches_the_pole(make_scene: MakeScene, tmp_path: Path) -> None:
    values = np.ones((1, 64, 64), np.uint8)
    values[0, 30:36, 30:36] = 0
    polar = Affine(5000, 0, -152_500, 0, -5000, 162_500)
    path = make_scene(values, crs="EPSG:3413", transform=polar, nodata=255)
    (ring,), (area_ha,) = written(path, tmp_path)
    assert ring.is_valid and ring.bounds[0] == -180 and ring.bounds[2] == 180 and ring.bounds[3] < 90
    values[0] = 1
    path = make_scene(values, crs="EPSG:3413", transform=polar, nodata=255)
    (cap,), (whole_ha,) = written(path, tmp_path)
    assert cap.is_valid and cap.bounds[3] == 90
    areas = polygon_area_ha(np.array([ring, cap]), CRS("EPSG:4326"))
    assert areas == pytest.approx([area_ha, whole_ha], rel=1e-3)


def test_a_crs_without_a_datum_gets_no_foreign_number_in_the_geopackage(make_scene: MakeScene, tmp_path: Path) -> None:
    grs80 = CRS("+proj=utm +zone=51 +ellps=GRS80 +units=m").to_wkt()  # much like EPSG:3097 in Japan
    write_polygons(
        make_scene(np.ones((1, 9, 9), np.uint8), crs=grs80),
        BINARY,
        tmp_path / "a.geojson",
        tmp_path / "a.gpkg",
        min_area_ha=0,
    )
    with sqlite3.connect(tmp_path / "a.gpkg") as connection:
        (organization,) = connection.execute(
            "SELECT organization FROM gpkg_spatial_ref_sys JOIN gpkg_contents USING (srs_id)"
        ).fetchone()
    connection.close()
    assert organization == "canemap"
    layer = read_layer(tmp_path / "a.gpkg")
    assert layer.crs is not None and layer.crs.to_authority(min_confidence=100) is None


def test_the_geopackage_has_the_extent_of_the_map_and_a_style_that_qgis_applies(classes: Path, tmp_path: Path) -> None:
    geopackage = tmp_path / "a.gpkg"
    names = [ClassDef(value=0, name="other"), ClassDef(value=1, name="甘蔗 <cane>")]
    write_polygons(classes, names, tmp_path / "a.geojson", geopackage, min_area_ha=0)
    with open_raster(classes) as dataset:
        bounds = grid_of(dataset).bounds
    with sqlite3.connect(geopackage) as connection:
        contents = connection.execute("SELECT table_name, min_x, min_y, max_x, max_y FROM gpkg_contents").fetchall()
        ((table, geometry, default, qml),) = connection.execute(
            "SELECT f_table_name, f_geometry_column, useAsDefault, styleQML FROM layer_styles"
        )
        columns = connection.execute("SELECT column_name FROM gpkg_geometry_columns").fetchall()
    connection.close()
    assert {name: tuple(extent) for name, *extent in contents} == {"classes": bounds, "layer_styles": (None,) * 4}
    assert (table, [(geometry,)], default) == ("classes", columns, 1)
    style = ElementTree.fromstring(qml.split("\n", 1)[1])
    assert [(each.get("value"), each.get("label")) for each in style.iter("category")] == [("1", "甘蔗 <cane>")]
    assert [each.get("v") for each in style.iter("prop") if each.get("k") == "color"] == ["76,175,80,140"]
    assert read_layer(geopackage).features  # the table of styles is no second layer
