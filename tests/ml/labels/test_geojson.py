"""GeoJSON of many tools: relatives of the format, encodings, CRS, geometries, properties, and bombs."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import shapely

from ml.faults import InputRefused
from ml.labels.features import FeatureLayer
from ml.labels.read import read_layer

RING = [[105, 10], [105.1, 10], [105.1, 10.1], [105, 10]]
PLOT = {"type": "Polygon", "coordinates": [RING]}


def feature(geometry: Any = None, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "properties": properties, "geometry": geometry or PLOT}


def read(path: Path, *features: Any, **members: Any) -> FeatureLayer:
    return written(path, json.dumps({"type": "FeatureCollection", "features": features} | members))


def written(path: Path, text: str | bytes) -> FeatureLayer:
    (path / "x").write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_layer(path / "x")


def refusal(path: Path, text: str | bytes) -> tuple[str, str]:
    with pytest.raises(InputRefused) as refused:
        written(path, text)
    fault = refused.value.faults[0]
    return fault.code, f"{fault.detail} {fault.hint}"


def test_names_of_attributes_do_not_make_another_format(tmp_path: Path) -> None:
    odd = feature(type="Topology", rings=3, geometryType="esriGeometryPolygon", place="here")
    assert len(read(tmp_path, odd).features) == 1


def test_a_geometry_in_the_place_of_json_fg_is_refused(tmp_path: Path) -> None:
    moved = {"type": "Feature", "properties": {}, "geometry": None, "place": PLOT}
    fault, text = refusal(tmp_path, json.dumps({"type": "FeatureCollection", "features": [moved]}))
    assert fault == "bad_geometry" and "JSON-FG" in text


RELATIVES = {
    '{"type": "Topology", "objects": {}, "arcs": []}': ("TopoJSON", "ogr2ogr"),
    '{"geometryType": "esriGeometryPolygon", "features": []}': ("Esri", "ogr2ogr"),
    '{"rings": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}': ("Esri", "ogr2ogr"),
    '{"type": "Feature"}\n{"type": "Feature"}': ("sequence", "ogr2ogr"),
    '\x1e{"type": "Feature"}\n': ("sequence", "ogr2ogr"),
    '{"type": "Polygons"}': ("'Polygons'", "GeoJSON"),
    "{}": ("'None'", "GeoJSON"),
}


@pytest.mark.parametrize("text", RELATIVES)
def test_relatives_of_geojson_are_refused_by_name_with_the_mend(tmp_path: Path, text: str) -> None:
    code, said = refusal(tmp_path, text)
    assert code == "bad_json" and all(part in said for part in RELATIVES[text])


@pytest.mark.parametrize(("encoding", "name"), [("utf-16", "UTF-16"), ("utf-16-le", "UTF-16"), ("gbk", "GBK")])
def test_another_encoding_than_utf_8_is_named(tmp_path: Path, encoding: str, name: str) -> None:
    code, said = refusal(tmp_path, json.dumps(feature(crop="甘蔗"), ensure_ascii=False).encode(encoding))
    assert code == "bad_json" and name in said


def test_a_binary_file_is_not_taken_for_a_text_in_another_encoding(tmp_path: Path) -> None:
    code, said = refusal(
        tmp_path, b"xyz\x03xyz\x00\x84\x00\x00\x00 plots \xff\xff\xff\xff\xff\xef"
    )  # of no known format
    assert code == "bad_json" and "binary" in said and "GeoPackage" in said and "UTF-8." not in said.split("binary")[0]


@pytest.mark.parametrize(
    ("crs", "epsg"),
    [
        (None, None),
        ({"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}, None),
        ({"type": "name", "properties": {"name": "EPSG:4490"}}, 4490),
        ({"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::4490"}}, 4490),
        ({"type": "EPSG", "properties": {"code": 4490}}, 4490),
    ],
)
def test_forms_of_the_crs_member(tmp_path: Path, crs: Any, epsg: int | None) -> None:
    layer = read(tmp_path, feature(), crs=crs)
    assert layer.crs is not None and layer.crs.to_epsg() == epsg and layer.features[0].geometry.bounds[0] == 105


@pytest.mark.parametrize("kind", ["name", "EPSG"])
def test_a_name_and_a_code_of_two_crss_are_refused(tmp_path: Path, kind: str) -> None:
    same = {"type": kind, "properties": {"name": "urn:ogc:def:crs:EPSG::4490", "code": 4490}}
    assert read(tmp_path, feature(), crs=same).features
    with pytest.raises(InputRefused, match="contradicts itself"):
        read(tmp_path, feature(), crs={"type": kind, "properties": {"name": "EPSG:4326", "code": 4214}})


@pytest.mark.parametrize("crs", ["EPSG:4326", 4326, [], {"type": "link", "properties": {"href": "http://127.0.0.1/"}}])
def test_other_forms_are_refused_unless_the_owner_declares_a_crs(tmp_path: Path, crs: Any) -> None:
    with pytest.raises(InputRefused, match="known code"):
        read(tmp_path, feature(), crs=crs)
    layer = read_layer(tmp_path / "x", crs="EPSG:4326")
    assert [note.code for note in layer.notes] == ["declared_crs"]


def test_a_declared_crs_that_differs_from_the_files_is_noted(tmp_path: Path) -> None:
    read(tmp_path, feature(), crs={"type": "name", "properties": {"name": "EPSG:4490"}})
    (note,) = read_layer(tmp_path / "x", crs="EPSG:4326").notes
    assert "EPSG:4490" in note.detail and "EPSG:4326" in note.detail
    assert read_layer(tmp_path / "x", crs="EPSG:4490").notes == ()


def test_a_feature_with_a_crs_of_its_own_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="of its own"):
        read(tmp_path, feature() | {"crs": {"type": "name", "properties": {"name": "EPSG:32648"}}})


@pytest.mark.parametrize(
    "position", ['["105", "10"]', '"12"', "[true, 1]", "[null, 1]", "[105]", '{"x": 1, "y": 2}', "7"]
)
def test_positions_that_are_not_numbers_are_refused(tmp_path: Path, position: str) -> None:
    text = json.dumps(feature()).replace("[105.1, 10]", position)
    assert refusal(tmp_path, text)[0] == "bad_geometry"


def test_positions_may_have_different_numbers_of_values(tmp_path: Path) -> None:
    ring = [[105, 10, 7], [105.1, 10], [105.1, 10.1, 7, 8], [105, 10, 9]]
    (only,) = read(tmp_path, feature({"type": "Polygon", "coordinates": [ring]})).features
    assert only.geometry.bounds == (105, 10, 105.1, 10.1)


@pytest.mark.parametrize(
    "empty",
    [
        {"type": "Polygon", "coordinates": []},
        {"type": "MultiPolygon", "coordinates": []},
        {"type": "MultiPolygon", "coordinates": [[]]},
    ],
)
def test_empty_polygons_are_left_out_and_counted(tmp_path: Path, empty: dict[str, Any]) -> None:
    layer = read(tmp_path, feature(), feature(empty))
    assert (len(layer.features), layer.without_geometry) == (1, 1)


def test_a_multipolygon_keeps_its_polygons(tmp_path: Path) -> None:
    (only,) = read(tmp_path, feature({"type": "MultiPolygon", "coordinates": [[RING], [], [RING]]})).features
    assert only.geometry.geom_type == "MultiPolygon" and len(only.geometry.geoms) == 2


def test_properties_keep_their_types_and_nested_ones_are_named(tmp_path: Path) -> None:
    properties = {"text": "a", "whole": 2**60, "real": 1.0, "yes": True, "none": None, "list": [1], "object": {"a": 1}}
    layer = read(tmp_path, feature(**properties))
    assert layer.features[0].properties == properties | {"list": None, "object": None}
    (note,) = layer.notes
    assert note.code == "unread_attributes" and "'list', 'object'" in note.detail


@pytest.mark.parametrize("text", [r"\u0000", r"a\ud83d", r"\ude00\ud83d"])
def test_text_that_cannot_be_stored_is_refused(tmp_path: Path, text: str) -> None:
    whole = json.dumps(feature(crop="\U0001f600甘"))
    assert len(written(tmp_path, whole).features) == 1
    for wrong in (whole.replace(r"\ud83d\ude00", text), whole.replace('"crop"', f'"{text}"')):
        assert refusal(tmp_path, wrong)[0] == "bad_json"


@pytest.mark.parametrize("name", ["geometry", "properties"])
def test_a_feature_with_a_member_under_another_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputRefused, match=f"no {name}"):
        read(tmp_path, {(key.upper() if key == name else key): value for key, value in feature().items()})


@pytest.mark.parametrize("member", [None, 7, [], {"type": "Polygon", "coordinates": []}])
def test_members_that_are_not_features_are_refused(tmp_path: Path, member: Any) -> None:
    with pytest.raises(InputRefused, match="Feature 1"):
        read(tmp_path, member)


@pytest.mark.parametrize("properties", [[], "a", 7])
def test_properties_that_are_not_an_object_are_refused(tmp_path: Path, properties: Any) -> None:
    with pytest.raises(InputRefused, match="properties"):
        read(tmp_path, {"type": "Feature", "geometry": PLOT, "properties": properties})


def test_a_layer_cannot_be_named(tmp_path: Path) -> None:
    read(tmp_path, feature())
    with pytest.raises(InputRefused, match="one layer"):
        read_layer(tmp_path / "x", layer="plots")


BOMBS = {  # a beginning, what is repeated and how often, and an end
    "empty lists": (b'{"a":[', b"[],", 21_000_000, b"[]]}"),
    "empty objects": (b'{"a":[', b"{},", 21_000_000, b"{}]}"),
    "numbers": (b'{"type":"Polygon","coordinates":[[', b"0.1,", 16_000_000, b"1]]}"),
    "texts": (b'{"a":[', b'"bc",', 12_000_000, b"1]}"),
    "long": (b"", b" ", 70 << 20, b"{}"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_little_memory(tmp_path: Path, name: str) -> None:
    begin, part, count, end = BOMBS[name]
    (tmp_path / "x").write_bytes(begin + part * count + end)
    code = (
        "import resource, sys; from ml.faults import InputRefused; from ml.labels.formats.geojson import read_geojson\n"
        "from pathlib import Path\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: read_geojson(Path(sys.argv[1]))\n"
        "except InputRefused as refused: print(refused.faults[0].code)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    said = subprocess.run([sys.executable, "-c", code, str(tmp_path / "x")], capture_output=True, text=True, check=True)
    refused, kib = said.stdout.split()
    assert refused == "too_large" and int(kib) < 300 << 10


def box_from(west: float) -> Any:
    return feature(shapely.geometry.mapping(shapely.box(west, -16, west + 0.2, -15.9)))


@pytest.mark.parametrize("west", [179.9, -180.1])
def test_a_polygon_across_the_date_line_is_refused_as_the_standard_asks(tmp_path: Path, west: float) -> None:
    with pytest.raises(InputRefused) as refused:
        read(tmp_path, box_from(west))
    assert [fault.code for fault in refused.value.faults] == ["bad_extent"]
    assert "RFC7946=YES" in refused.value.faults[0].hint


@pytest.mark.parametrize("west", [179.8, 180.0, 190.0, -180.0, 359.0])
def test_a_polygon_on_one_side_of_the_date_line_may_have_longitudes_from_0_to_360(tmp_path: Path, west: float) -> None:
    assert len(read(tmp_path, box_from(west)).features) == 1
