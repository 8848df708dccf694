import json
import sqlite3
import stat
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyproj
import pytest
import shapely
from shapely.geometry import MultiPolygon, Point, Polygon

from ml.faults import InputRefused
from ml.labels.features import FeatureLayer
from ml.labels.formats.text_encoding import encoding_of
from ml.labels.read import kind_of, read_layer
from ml.labels.repair import MAX_CROSSINGS, crossings, repaired
from tests.ml.labels.layers import Item, geojson, geopackage, square, zipped_shapefile

UTM_48N = pyproj.CRS("EPSG:32648")
HOLE = Polygon(square(0, 0, 40).exterior, [square(5, 5).exterior])
ITEMS: list[Item] = [(HOLE, {"class": "甘蔗"}), (square(60, 0), {"class": "other"})]
Write = Callable[[Path, list[Item]], Path]
FORMATS: dict[str, Write] = {"geojson": geojson, "geopackage": geopackage, "shapefile": zipped_shapefile}


def codes(path: Path, crs: str | None = None) -> list[str]:
    with pytest.raises(InputRefused) as refused:
        read_layer(path, crs=crs)
    assert all(fault.detail and fault.hint for fault in refused.value.faults)
    return [fault.code for fault in refused.value.faults]


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_the_same_polygons(tmp_path: Path, kind: str) -> None:
    path = FORMATS[kind](tmp_path / "any.name", ITEMS)
    assert kind_of(path) == kind
    layer = read_layer(path)
    assert layer.kind == kind and layer.crs is not None and layer.crs.to_epsg() == 32648
    assert [feature.properties["class"] for feature in layer.features] == ["甘蔗", "other"]
    for feature, (polygon, _) in zip(layer.features, ITEMS, strict=True):
        assert shapely.equals(feature.geometry, polygon)


def test_geojson_without_a_crs_is_in_longitude_and_latitude(tmp_path: Path) -> None:
    place = shapely.box(108, 22, 108.01, 22.01)
    layer = read_layer(geojson(tmp_path / "a", [(place, {})], crs=None))
    assert layer.crs is not None and layer.crs.to_authority() == ("OGC", "CRS84")
    assert codes(geojson(tmp_path / "b", [(square(0, 0), {})], crs=None)) == ["bad_extent"]


def test_a_declared_crs_overrides_the_crs_of_the_file(tmp_path: Path) -> None:
    layer = read_layer(geojson(tmp_path / "a", [(square(0, 0), {})], crs=None), crs="EPSG:32648")
    assert layer.crs is not None and layer.crs.to_epsg() == 32648


@pytest.mark.parametrize(
    "crs",
    [
        "EPSG:999999",
        "/etc/passwd",
        "http://127.0.0.1/crs",
        "http://127.0.0.1/def/crs/EPSG/0/32648",
        "+proj=utm",
        "EPSG:5773",
        "",
    ],
)
def test_a_declared_crs_that_is_not_a_known_code_is_refused(tmp_path: Path, crs: str) -> None:
    path = geojson(tmp_path / "a", [(square(0, 0), {})], crs=None)
    assert codes(path, crs)[0] in ("bad_crs", "unknown_crs")


@pytest.mark.parametrize(
    "crs",
    [
        *(
            "urn:ogc:def:crs:EPSG::32648",
            "urn:ogc:def:crs:EPSG:6.6:32648",
            "epsg:32648",
            "urn:x-ogc:def:crs:EPSG:32648",
        ),
        *("http://www.opengis.net/def/crs/EPSG/0/32648", "https://www.opengis.net/def/crs/EPSG/9.9.1/32648"),
    ],
)
def test_the_crs_member_of_old_geojson_is_used(tmp_path: Path, crs: str) -> None:
    layer = read_layer(geojson(tmp_path / "a", [(square(0, 0), {})], crs=crs))
    assert layer.crs is not None and layer.crs.to_epsg() == 32648


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"null",
        b"\xff\xfe{\0}\0",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"type": "FeatureCollection"}',
        b'{"type": "FeatureCollection", "features": [], "features": []}',
        b'{"type": "FeatureCollection", "features": [NaN]}',
        b'{"type": "FeatureCollection", "features": [' + b"9" * 5000 + b"]}",
    ],
)
def test_a_file_without_geojson_features_is_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "x.geojson"
    path.write_bytes(text)
    assert codes(path) == ["bad_json"]


@pytest.mark.parametrize(
    "geometry",
    [
        '{"type": "Point", "coordinates": [1, 1]}',
        '{"type": "Polygon"}',
        '{"type": "Polygon", "coordinates": [[]]}',
        '{"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [0, 0]]]}',
        '{"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1]]]}',
        '{"type": "Polygon", "coordinates": [[[0, 0], [1, 0], ["a", 1], [0, 0]]]}',
        '{"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1e999, 1], [0, 0]]]}',
        '{"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1' + "0" * 400 + ", 1], [0, 0]]]}",
        '{"type": "GeometryCollection", "geometries": []}',
        '"Polygon"',
    ],
)
def test_a_geometry_that_is_not_a_polygon_is_refused(tmp_path: Path, geometry: str) -> None:
    path = tmp_path / "x.geojson"
    path.write_text('{"type": "Feature", "properties": {}, "geometry": ' + geometry + "}")
    assert codes(path) == ["bad_geometry"]


def test_a_byte_order_mark_heights_and_features_without_geometry_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "x.geojson"
    high = [[[105, 10, 7], [105.1, 10, 7], [105.1, 10.1, 7], [105, 10, 7]]]
    features = [{"geometry": {"type": "Polygon", "coordinates": high}, "properties": None}, {"geometry": None}]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8-sig")
    layer = read_layer(path)
    assert (len(layer.features), layer.without_geometry) == (1, 1)
    assert not layer.features[0].geometry.has_z


def test_each_faulty_feature_has_a_fault_with_its_pointer(tmp_path: Path) -> None:
    path = geojson(tmp_path / "x", [(square(0, 0), {}), (Point(0, 0), {}), (Point(0, 0), {})])
    with pytest.raises(InputRefused) as refused:
        read_layer(path)
    assert [fault.pointer for fault in refused.value.faults] == ["/features/1/geometry", "/features/2/geometry"]


def test_a_layer_without_polygons_is_refused(tmp_path: Path) -> None:
    assert codes(geojson(tmp_path / "x", [])) == ["no_features"]


def change(path: Path, *statements: str) -> Path:
    with sqlite3.connect(path) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()
    return path


def test_a_geopackage_with_two_layers_is_refused(tmp_path: Path) -> None:
    assert codes(geopackage(tmp_path / "x", ITEMS, layers=("a", "b"))) == ["bad_archive"]


def test_a_geopackage_with_an_endless_view_is_refused_without_running_it(tmp_path: Path) -> None:
    endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT x AS fid, NULL AS SHAPE FROM c"
    path = change(
        geopackage(tmp_path / "x", ITEMS),
        'DROP TABLE "plots"',
        f'CREATE VIEW "plots" AS {endless}',
    )
    assert codes(path) == ["bad_archive"]


def test_sql_in_a_layer_name_is_not_executed(tmp_path: Path) -> None:
    name = 'x"; DROP TABLE gpkg_contents;--'
    path = change(
        geopackage(tmp_path / "x", ITEMS),
        'ALTER TABLE "plots" RENAME TO "x""; DROP TABLE gpkg_contents;--"',
        f"UPDATE gpkg_contents SET table_name = '{name}'",
        f"UPDATE gpkg_geometry_columns SET table_name = '{name}'",
    )
    assert len(read_layer(path).features) == 2


@pytest.mark.parametrize("blob", ["4750", "47500001000000000103", "00", "4750000100000000010300000001000000ffffffff"])
def test_a_damaged_geometry_in_a_geopackage_is_refused(tmp_path: Path, blob: str) -> None:
    path = geopackage(tmp_path / "x", ITEMS)
    with sqlite3.connect(path) as connection:
        triggers = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
    connection.close()
    change(path, *(f'DROP TRIGGER "{name}"' for (name,) in triggers), f"UPDATE plots SET SHAPE = x'{blob}'")
    assert set(codes(path)) == {"bad_geometry"}


def test_a_damaged_geopackage_is_refused(tmp_path: Path) -> None:
    path = geopackage(tmp_path / "x", ITEMS)
    path.write_bytes(path.read_bytes()[:5000])
    assert codes(path) == ["bad_archive"]


def test_reading_a_geopackage_changes_no_file(tmp_path: Path) -> None:
    path = geopackage(tmp_path / "x", ITEMS)
    before = path.read_bytes()
    read_layer(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", [".shp", ".shx", ".dbf"])
def test_the_message_names_a_missing_file_of_a_shapefile(tmp_path: Path, suffix: str) -> None:
    path = zipped_shapefile(tmp_path / "x.zip", ITEMS, leave_out=suffix)
    with pytest.raises(InputRefused, match=rf"\{suffix}"):
        read_layer(path)


def test_a_shapefile_without_prj_needs_a_declared_crs(tmp_path: Path) -> None:
    path = zipped_shapefile(tmp_path / "x.zip", ITEMS, prj=None)
    assert codes(path) == ["missing_crs"]
    assert len(read_layer(path, crs="EPSG:32648").features) == 2


def test_holes_of_a_shapefile_are_assigned_to_their_outlines(tmp_path: Path) -> None:
    island = square(7, 7, 4)
    item = MultiPolygon([HOLE, island, square(60, 0)])
    (feature,) = read_layer(zipped_shapefile(tmp_path / "x.zip", [(item, {"class": "a"})])).features
    assert shapely.equals(feature.geometry, item)


@pytest.mark.parametrize(
    ("text", "encoding", "cpg"),
    [
        ("甘蔗", "utf-8", None),
        ("甘蔗", "gbk", None),
        ("甘蔗", "gbk", "936"),
        ("甘蔗", "gbk", "GBK"),
        ("Vårbyg", "latin-1", None),
        ("Vårbyg", "latin-1", "ISO 88591"),
        ("Vårbyg", "latin-1", "ISO-8859-1"),
        ("Vårbyg", "utf-8", "UTF-8"),
        ("Zuckerrübe", "cp1252", "1252"),
    ],
)
def test_attributes_are_decoded_in_the_right_encoding(
    tmp_path: Path, text: str, encoding: str, cpg: str | None
) -> None:
    path = zipped_shapefile(tmp_path / "x.zip", [(square(0, 0), {"crop": text})], encoding=encoding, cpg=cpg)
    assert read_layer(path).features[0].properties["crop"] == text


def test_an_unknown_code_page_is_ignored() -> None:
    assert encoding_of(b"klingon", 0, ()).name == "utf-8"


def zipped(path: Path, *entries: tuple[zipfile.ZipInfo | str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content, zipfile.ZIP_DEFLATED)
    return path


def link() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("x.shp")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    "entries",
    [
        (),
        (("readme.txt", b"hello"),),
        (("../x.shp", b""), ("x.shx", b""), ("x.dbf", b"")),
        (("/x.shp", b""), ("x.shx", b""), ("x.dbf", b"")),
        (("C\\..\\..\\x.shp", b""), ("x.shx", b""), ("x.dbf", b"")),
        ((link(), b"/etc/passwd"), ("x.shx", b""), ("x.dbf", b"")),
        (("x.shp", bytes(10 << 20)), ("x.shx", b""), ("x.dbf", b"")),
        (("x.shp", b"garbage"), ("x.shx", b"garbage"), ("x.dbf", b"garbage")),
        tuple((f"{number}.txt", b"") for number in range(200)),
    ],
)
def test_a_zip_without_a_safe_shapefile_is_refused(
    tmp_path: Path, entries: tuple[tuple[zipfile.ZipInfo | str, bytes], ...]
) -> None:
    assert codes(zipped(tmp_path / "x.zip", *entries)) == ["bad_archive"]


def test_a_zip_with_two_shapefiles_is_refused(tmp_path: Path) -> None:
    entries = (("x.shp", b""), ("y.shp", b""), ("x.shx", b""), ("x.dbf", b""))
    assert codes(zipped(tmp_path / "x.zip", *entries)) == ["bad_archive"]


@pytest.mark.parametrize("kept", [4, 100, 600])
def test_a_damaged_zip_is_refused(tmp_path: Path, kept: int) -> None:
    path = zipped_shapefile(tmp_path / "x.zip", ITEMS)
    path.write_bytes(path.read_bytes()[:kept])
    assert codes(path) == ["bad_archive"]


def test_a_table_of_blanks_is_not_taken_for_a_zip_bomb(tmp_path: Path) -> None:
    items: list[Item] = [(square(20 * n, 0), {f"a{column}": "" for column in range(200)}) for n in range(300)]
    path = zipped_shapefile(tmp_path / "x.zip", items)
    with zipfile.ZipFile(path) as archive:
        table = archive.getinfo("x.dbf")
    assert table.file_size > 200 * table.compress_size
    assert len(read_layer(path).features) == 300


def layer_of(tmp_path: Path, *polygons: Polygon) -> FeatureLayer:
    return read_layer(geojson(tmp_path / "x", [(polygon, {}) for polygon in polygons]))


def test_a_polygon_that_crosses_itself_is_repaired_and_reported(tmp_path: Path) -> None:
    (x0, y0, x1, y1) = square(0, 0).bounds
    bow_tie = Polygon([(x0, y0), (x1, y1), (x1, y0), (x0, y1)])
    features, (note,) = repaired(layer_of(tmp_path, square(30, 0), bow_tie).features, UTM_48N)
    assert note.code == "repaired_geometry" and note.detail.endswith("2.")
    assert features[1].geometry.is_valid and features[1].geometry.area == pytest.approx(5000)
    assert shapely.equals(features[0].geometry, square(30, 0))


@pytest.mark.parametrize("vertices", [300, 1000, 6000, 100_000])
def test_a_polygon_with_too_many_crossings_is_refused_fast(tmp_path: Path, vertices: int) -> None:
    scribble = Polygon(np.random.default_rng(0).random((vertices, 2)) * 1000 + (500_000, 1_000_000))
    features = layer_of(tmp_path, scribble).features
    started = time.process_time()
    with pytest.raises(InputRefused, match="too often"):
        repaired(features, UTM_48N)
    assert time.process_time() - started < 5


def test_a_polygon_that_geos_would_check_for_minutes_is_refused_fast() -> None:
    """The comb is valid, but its teeth are close to each other, so a check takes the square of their number."""
    place = np.arange(50_000) * 1e-6
    teeth = np.stack([np.stack([place, -place], 1), np.stack([1 + place, 1 - place], 1)], 1).reshape(-1, 2)
    comb = Polygon([*teeth, (5, 5), (-5, 5), (-5, 0)])
    started = time.process_time()
    assert crossings(comb) > MAX_CROSSINGS
    assert time.process_time() - started < 5


def test_a_long_outline_without_crossings_is_accepted() -> None:
    angles = np.linspace(0, 2 * np.pi, 100_000, endpoint=False)
    radius = 1 + 0.01 * np.sin(2000 * angles)
    outline = Polygon(np.column_stack([radius * np.cos(angles), radius * np.sin(angles)]))
    started = time.process_time()
    assert crossings(outline) == 0
    assert time.process_time() - started < 5


def test_a_polygon_without_area_is_refused(tmp_path: Path) -> None:
    flat = Polygon([(5e5, 1e6), (5.1e5, 1e6), (5.05e5, 1e6), (5e5, 1e6)])
    with pytest.raises(InputRefused, match="no area"):
        repaired(layer_of(tmp_path, flat).features, UTM_48N)
