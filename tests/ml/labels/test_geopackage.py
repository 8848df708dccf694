"""GeoPackages of many tools and of people who mean harm: schemas, geometries, texts, and damage."""

import sqlite3
import struct
import time
from pathlib import Path

import numpy as np
import pytest
import shapely
from pyproj import CRS
from shapely.geometry import MultiPolygon, Polygon

from ml.faults import InputRefused
from ml.labels.features import FeatureLayer, NoPolygonError
from ml.labels.formats.wkb import polygon_from_wkb
from ml.labels.read import read_layer
from tests.ml.labels.raw_files import blob, gpkg, ring, wkb

ONE = blob(wkb([[ring()]]))
HOLE = [ring(), ring(500_020, 1_199_980, 20, clockwise=False)]
FIELDS = Polygon(HOLE[0], HOLE[1:])


def refusal(path: Path, code: str = "bad_archive", layer: str | None = None) -> str:
    with pytest.raises(InputRefused) as refused:
        read_layer(path, layer=layer)
    assert {fault.code for fault in refused.value.faults} == {code}
    return f"{refused.value.faults[0].detail} {refused.value.faults[0].hint}"


def notes(layer: FeatureLayer) -> dict[str, str]:
    return {note.code: note.detail for note in layer.notes}


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("z", [False, True])
@pytest.mark.parametrize("m", [False, True])
@pytest.mark.parametrize("ewkb", [False, True])
def test_every_kind_of_wkb_gives_the_polygon_in_two_dimensions(order: str, z: bool, m: bool, ewkb: bool) -> None:
    one = polygon_from_wkb(wkb([HOLE], order=order, z=z, m=m, ewkb=ewkb))
    two = polygon_from_wkb(wkb([HOLE, [ring(500_400)]], order=order, z=z, m=m, ewkb=ewkb))
    assert shapely.equals_exact(one, FIELDS) and shapely.get_coordinate_dimension(one) == 2
    assert shapely.equals_exact(two, MultiPolygon([FIELDS, Polygon(ring(500_400))]))
    assert shapely.get_coordinate_dimension(two) == 2


@pytest.mark.parametrize("empty", [wkb([[]]), struct.pack("<BII", 1, 6, 0), struct.pack("<BII", 1, 6, 1) + wkb([[]])])
def test_an_empty_polygon_is_no_polygon(empty: bytes) -> None:
    assert polygon_from_wkb(empty) is None


def nested(depth: int, inner: int = 7) -> bytes:
    return struct.pack("<BII", 1, inner, 1) * depth + wkb([[ring()]])


@pytest.mark.parametrize("kind", [*range(1, 3), *range(4, 6), *range(7, 20), 1007, 999, 4003, 0x80000007])
def test_other_geometries_are_refused_however_deep(kind: int) -> None:
    with pytest.raises(NoPolygonError):
        polygon_from_wkb(nested(100_000, kind))


@pytest.mark.parametrize("kind", [6, 1006, 0x20000006])
def test_a_multipolygon_in_a_multipolygon_is_refused(kind: int) -> None:
    with pytest.raises(NoPolygonError):
        polygon_from_wkb(nested(100_000, kind))


@pytest.mark.parametrize(("kind", "mend"), [(10, "CONVERT_TO_LINEAR"), (12, "CONVERT_TO_LINEAR"), (15, "MULTIPOLYGON")])
def test_curves_and_surfaces_are_refused_with_the_mend(tmp_path: Path, kind: int, mend: str) -> None:
    curve = blob(struct.pack("<BII", 1, kind, 0))
    assert mend in refusal(gpkg(tmp_path / "x", [(1, ONE, "a"), (2, curve, "b")]), "bad_geometry")


def test_wkb_with_damage_anywhere_is_a_polygon_or_refused() -> None:
    whole, rng = wkb([HOLE, HOLE], z=True), np.random.default_rng(0)
    for trial in range(3000):
        damaged = bytearray(whole[: rng.integers(len(whole) + 1)] if trial % 3 == 0 else whole)
        for at in rng.integers(0, len(damaged), min(len(damaged), 3)):
            damaged[at] = rng.integers(256)
        try:
            found = polygon_from_wkb(bytes(damaged))
        except NoPolygonError:
            continue
        assert np.isfinite(shapely.get_coordinates(found)).all()


@pytest.mark.parametrize("count", [2**32 - 1, 2**28, 1000])
def test_counts_beyond_the_bytes_are_refused_at_once(count: int) -> None:
    started = time.process_time()
    for lie in (
        struct.pack("<BII", 1, 3, count),
        struct.pack("<BIII", 1, 3, 1, count),
        struct.pack("<BII", 1, 6, count),
    ):
        with pytest.raises(NoPolygonError):
            polygon_from_wkb(lie)
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"GP",
        b"XX" + ONE[2:],
        blob(wkb([[ring()]]), flags=0x0B),
        blob(wkb([[ring()]]), flags=0x21),
        ONE[:-1],
        ONE + b"x",
    ],
)
def test_a_blob_that_is_no_standard_geometry_is_refused(tmp_path: Path, damaged: bytes) -> None:
    refusal(gpkg(tmp_path / "x", [(1, damaged, "a")]), "bad_geometry")


@pytest.mark.parametrize(("code", "size"), [(1, 32), (2, 48), (3, 48), (4, 64)])
def test_the_envelope_is_passed_over(tmp_path: Path, code: int, size: int) -> None:
    framed = blob(wkb([[ring()]]), flags=1 | code << 1, envelope=bytes(size))
    assert len(read_layer(gpkg(tmp_path / "x", [(1, framed, "a")])).features) == 1


@pytest.mark.parametrize("kind", ["VIRTUAL", "STORED"])
def test_generated_columns_are_refused_unread(tmp_path: Path, kind: str) -> None:
    columns = f"fid INTEGER PRIMARY KEY, geom BLOB, crop AS (printf('%.*c', 60000000, 'x')) {kind}"
    path = gpkg(tmp_path / "x", [], columns=columns)
    if kind == "VIRTUAL":
        with sqlite3.connect(path) as connection:
            connection.execute("INSERT INTO plots (geom) VALUES (?)", (ONE,))
        connection.close()
    assert "generated" in refusal(path)


def test_a_long_text_is_refused(tmp_path: Path) -> None:
    assert "16,777,216" in refusal(gpkg(tmp_path / "x", [(1, ONE, "x" * (17 << 20))]))


def test_rows_that_share_a_default_are_refused(tmp_path: Path) -> None:
    """A default is stored once, and read for each row that is older than its column."""
    added = f"ALTER TABLE plots ADD COLUMN more TEXT DEFAULT '{'x' * 900_000}'"
    path = gpkg(tmp_path / "x", [(number, ONE, "a") for number in range(300)], then=[added])
    assert "more bytes than the file" in refusal(path)


@pytest.mark.parametrize("table", ["gpkg_contents", "gpkg_geometry_columns", "gpkg_spatial_ref_sys", "plots"])
def test_views_in_place_of_tables_are_refused(tmp_path: Path, table: str) -> None:
    endless = f"CREATE VIEW {table} AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c"
    path = gpkg(tmp_path / "x", [(1, ONE, "a")], then=[f"DROP TABLE {table}", endless])
    started = time.process_time()
    assert table in refusal(path) and time.process_time() - started < 2


@pytest.mark.parametrize("table", ["gpkg_contents", "gpkg_geometry_columns", "gpkg_spatial_ref_sys", "plots"])
def test_a_missing_table_is_named(tmp_path: Path, table: str) -> None:
    assert table in refusal(gpkg(tmp_path / "x", [(1, ONE, "a")], then=[f"DROP TABLE {table}"]))


@pytest.mark.parametrize(
    ("table", "name"), [("geometry_columns", "SpatiaLite"), ("tiles", "MBTiles"), ("notes", "gpkg_contents")]
)
def test_other_databases_are_called_by_their_name(tmp_path: Path, table: str, name: str) -> None:
    with sqlite3.connect(tmp_path / "x") as connection:
        connection.execute(f"CREATE TABLE {table} (a)")
    connection.close()
    assert name in refusal(tmp_path / "x")


def test_a_virtual_table_under_the_name_of_a_layer_is_refused(tmp_path: Path) -> None:
    lie = "UPDATE sqlite_master SET sql = 'CREATE VIRTUAL/**/TABLE plots USING fts4(geom, crop)' WHERE name = 'plots'"
    refusal(gpkg(tmp_path / "x", [(1, ONE, "a")], then=["PRAGMA writable_schema = ON", lie]))


def test_triggers_and_spatial_indexes_do_no_harm(tmp_path: Path) -> None:
    tree = "CREATE VIRTUAL TABLE rtree_plots_geom USING rtree(id, minx, maxx, miny, maxy)"
    trigger = "CREATE TRIGGER t AFTER INSERT ON plots BEGIN DELETE FROM plots; END"
    assert len(read_layer(gpkg(tmp_path / "x", [(1, ONE, "a")], then=[tree, trigger])).features) == 1


def test_odd_names_of_tables_and_columns_are_read(tmp_path: Path) -> None:
    columns = 'fid INTEGER PRIMARY KEY, "Gé""om" BLOB, "作物" TEXT, "a b;--" TEXT, "select" REAL'
    path = gpkg(
        tmp_path / "x", [(1, ONE, "甘蔗", "b", 2)], columns=columns, table='"; 甘', geometry='gÉ"om'.replace("É", "é")
    )
    (feature,) = read_layer(path).features
    assert feature.properties == {"作物": "甘蔗", "a b;--": "b", "select": 2.0}


def test_the_number_of_the_row_is_no_attribute_but_other_keys_are(tmp_path: Path) -> None:
    keyed = gpkg(tmp_path / "x", [(7, ONE, "a")])
    assert read_layer(keyed).features[0].properties == {"crop": "a"}
    named = gpkg(tmp_path / "x", [("k", ONE, "a")], columns="code TEXT PRIMARY KEY, geom BLOB, crop TEXT")
    assert read_layer(named).features[0].properties == {"code": "k", "crop": "a"}


def test_one_of_several_layers_is_chosen_by_its_name(tmp_path: Path) -> None:
    copied = [
        "CREATE TABLE rice AS SELECT * FROM plots",
        "INSERT INTO gpkg_contents (table_name, data_type, srs_id) VALUES ('rice', 'features', 32648)",
        "INSERT INTO gpkg_geometry_columns VALUES ('rice', 'geom', 'GEOMETRY', 32648, 0, 0)",
    ]
    path = gpkg(tmp_path / "x", [(1, ONE, "a")], then=copied)
    assert "'plots', 'rice'" in refusal(path, "bad_archive")
    assert read_layer(path, layer="rice").name == "rice"
    assert "'plots', 'rice'" in refusal(path, "unknown_layer", "Rice")


@pytest.mark.parametrize("srs", [0, -1, 7])
def test_an_undefined_crs_must_be_declared(tmp_path: Path, srs: int) -> None:
    path = gpkg(tmp_path / "x", [(1, ONE, "a")], srs=srs)
    refusal(path, "missing_crs")
    assert len(read_layer(path, crs="EPSG:32648").features) == 1


@pytest.mark.parametrize("srs", ["'abc'", "x'00ff'"])
def test_an_srs_id_that_is_no_number_is_refused(tmp_path: Path, srs: str) -> None:
    path = gpkg(tmp_path / "x", [(1, ONE, "a")])
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE gpkg_geometry_columns SET srs_id = {srs}")
    connection.close()
    assert "srs_id of the layer is no number" in refusal(path)


def test_rows_without_geometry_or_with_an_empty_one_are_counted(tmp_path: Path) -> None:
    rows = [(1, ONE, "a"), (2, None, "b"), (3, blob(wkb([[]]), flags=0x11), "c")]
    layer = read_layer(gpkg(tmp_path / "x", rows))
    assert (len(layer.features), layer.without_geometry) == (1, 2)


@pytest.mark.parametrize("order", "<>")
def test_geometries_that_name_another_crs_than_their_layer_are_noted(tmp_path: Path, order: str) -> None:
    def named(srs: int) -> bytes:
        return b"GP\0" + bytes([order == "<"]) + struct.pack(f"{order}i", srs) + wkb([[ring()]])

    rows = [(number, named(srs), "a") for number, srs in enumerate((32648, 0, -1))]
    assert notes(read_layer(gpkg(tmp_path / "x", rows))) == {}
    layer = read_layer(gpkg(tmp_path / "x", [*rows, (8, named(32649), "a"), (9, named(32649), "a")]))
    assert len(layer.features) == 5
    assert notes(layer)["other_crs"].endswith("their layer (32648), by its number: 32649 (2).")


ZONE_49 = CRS(32649).to_wkt("WKT1_GDAL").replace("'", "''")


@pytest.mark.parametrize(
    "lie",
    [
        "UPDATE gpkg_spatial_ref_sys SET organization_coordsys_id = 32649 WHERE srs_id = 32648",
        f"UPDATE gpkg_spatial_ref_sys SET definition = '{ZONE_49}' WHERE srs_id = 32648",
        f"UPDATE gpkg_spatial_ref_sys SET organization = 'NONE', definition = '{ZONE_49.replace('111', '105')}'"
        " WHERE srs_id = 32648",
        "UPDATE gpkg_contents SET srs_id = 32649",
        "UPDATE gpkg_contents SET srs_id = 4326",
    ],
)
def test_a_file_that_says_two_things_of_its_crs_is_refused_unless_the_owner_says_which(
    tmp_path: Path, lie: str
) -> None:
    known = f"INSERT INTO gpkg_spatial_ref_sys VALUES ('UTM', 32649, 'EPSG', 32649, '{ZONE_49}', NULL)"
    path = gpkg(tmp_path / "x", [(1, ONE, "a")], then=[known, lie])
    assert "contradicts itself" in refusal(path, "contradictory_crs")
    assert "declared_crs" in notes(read_layer(path, crs="EPSG:32648"))


def test_one_crs_under_two_numbers_is_no_contradiction(tmp_path: Path) -> None:
    definition = CRS(32648).to_wkt("WKT1_GDAL")
    own = f"INSERT INTO gpkg_spatial_ref_sys VALUES ('own', 100001, 'NONE', 1, '{definition}', NULL)"
    then = [own, "UPDATE gpkg_contents SET srs_id = 100001"]
    assert notes(read_layer(gpkg(tmp_path / "x", [(1, ONE, "a")], then=then))) == {}


def test_a_write_ahead_log_is_noted(tmp_path: Path) -> None:
    path = gpkg(tmp_path / "x", [(1, ONE, "a")])
    assert notes(read_layer(path)) == {}
    content = bytearray(path.read_bytes())
    content[18:20] = b"\2\2"
    path.write_bytes(content)
    assert "-wal" in notes(read_layer(path))["write_ahead_log"]


def test_texts_that_are_not_utf_8_are_named(tmp_path: Path) -> None:
    then = ["UPDATE plots SET crop = CAST(x'b8cad5e1' AS TEXT)"]
    layer = read_layer(gpkg(tmp_path / "x", [(1, ONE, "a")], then=then))
    assert "\ufffd" in str(layer.features[0].properties["crop"]) and "undecodable_text" in notes(layer)


def test_text_ends_at_a_nul_which_is_named(tmp_path: Path) -> None:
    layer = read_layer(gpkg(tmp_path / "x", [(1, ONE, "cane\0\0x")]))
    assert layer.features[0].properties == {"crop": "cane"} and "NUL" in notes(layer)["undecodable_text"]


def test_binary_attributes_are_named(tmp_path: Path) -> None:
    layer = read_layer(gpkg(tmp_path / "x", [(1, ONE, b"\0")]))
    assert layer.features[0].properties == {"crop": None} and "'crop'" in notes(layer)["unread_attributes"]


def test_a_geopackage_with_damage_anywhere_is_read_or_refused(tmp_path: Path) -> None:
    path = gpkg(tmp_path / "x", [(number, ONE, "甘蔗") for number in range(200)])
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for trial in range(300):
        damaged = bytearray(whole[: rng.integers(100, len(whole))] if trial % 3 == 0 else whole)
        for at in rng.integers(0, len(damaged), 20):
            damaged[at] = rng.integers(256)
        damaged[:16] = whole[:16]
        path.write_bytes(damaged)
        try:
            assert read_layer(path).features
        except InputRefused as refused:
            assert all(fault.hint for fault in refused.faults)
