"""Zipped Shapefiles of many tools: parts, encodings, deleted rows, values, rings, and headers that lie."""

import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import shapely
from pyproj import CRS
from shapely.geometry import Polygon

from ml.faults import InputRefused
from ml.geo.crs import crs_from_wkt
from ml.labels.features import FeatureLayer
from ml.labels.formats.dbf import read_table
from ml.labels.formats.text_encoding import named_encoding
from ml.labels.read import read_layer
from tests.ml.labels.raw_files import PRJ, Column, dbf, ring, shape, shapefile_of, shp_and_shx, zipped

CROP: Column = (b"crop", "C", 20)
TWO = [shape(ring()), shape(ring(500_200))]


def read(path: Path, files: Mapping[str, bytes], **options: Any) -> FeatureLayer:
    return read_layer(zipped(path / "x.zip", files), **options)


def refusal(path: Path, files: Mapping[str, bytes], code: str = "bad_archive", **options: Any) -> str:
    with pytest.raises(InputRefused) as refused:
        read(path, files, **options)
    assert [fault.code for fault in refused.value.faults] == [code]
    return f"{refused.value.faults[0].detail} {refused.value.faults[0].hint}"


def texts(layer: FeatureLayer, name: str = "crop") -> list[object]:
    return [feature.properties[name] for feature in layer.features]


def notes(layer: FeatureLayer) -> dict[str, str]:
    return {note.code: note.detail for note in layer.notes}


def one(column: Column, cell: bytes, **options: Any) -> dict[str, bytes]:
    """A Shapefile with one row of one column."""
    others = {"cpg": options.pop("cpg")} if "cpg" in options else {}
    return shapefile_of(TWO[:1], dbf([column], [[cell]], **options), **others)


def test_only_the_files_with_the_name_of_the_shp_are_read(tmp_path: Path) -> None:
    own = shapefile_of(TWO, dbf([CROP], [[b"cane"], [b"rice"]]))
    foreign = {"a/plots.dbf": dbf([CROP], [[b"x"], [b"y"]]), "z.prj": b"PROJCS[]", "z.cpg": b"UTF-16", "z.shx": b""}
    layer = read(tmp_path, foreign | own)
    assert texts(layer) == ["cane", "rice"]
    assert all(name in notes(layer)["other_files"] for name in foreign)


def test_names_may_differ_in_case_and_lie_in_a_folder(tmp_path: Path) -> None:
    files = shapefile_of(TWO, dbf([CROP], [[b"cane"], [b"rice"]]), "Fields/甘蔗地")
    changed = {
        name.replace("Fields", "FIELDS").upper() if ".shp" not in name else name: it for name, it in files.items()
    }
    resource_forks = {f"__MACOSX/Fields/._{name}": b"" for name in ("甘蔗地.shp", "甘蔗地.dbf")}
    layer = read(tmp_path, changed | resource_forks | {"Fields/.DS_Store": b"", "Fields/readme.txt": b"?"})
    assert texts(layer) == ["cane", "rice"] and notes(layer) == {} and layer.name == "Fields/甘蔗地"


def test_one_of_several_shapefiles_is_chosen_by_its_name(tmp_path: Path) -> None:
    files = shapefile_of(TWO, dbf([CROP], [[b"a"], [b"b"]]), "a") | shapefile_of(
        TWO, dbf([CROP], [[b"c"], [b"d"]]), "b"
    )
    assert "'a', 'b'" in refusal(tmp_path, files, "bad_archive")
    layer = read(tmp_path, files, layer="b")
    assert texts(layer) == ["c", "d"] and layer.name == "b"
    with pytest.raises(InputRefused, match="no layer 'c'"):
        read(tmp_path, files, layer="c")


def test_two_files_whose_names_differ_in_case_only_are_refused(tmp_path: Path) -> None:
    files = shapefile_of(TWO, dbf([CROP], [[b"a"], [b"b"]]))
    assert "same name" in refusal(tmp_path, files | {"Plots.DBF": dbf([CROP], [[b"c"], [b"d"]])})


def test_deleted_rows_go_with_their_shapes(tmp_path: Path) -> None:
    three = [shape(ring(500_000 + 200 * number)) for number in range(3)]
    layer = read(tmp_path, shapefile_of(three, dbf([CROP], [[b"a"], [b"b"], [b"c"]], deleted=[1])))
    assert texts(layer) == ["a", "c"] and "1 rows" in notes(layer)["deleted_rows"]
    assert [feature.geometry.bounds[0] for feature in layer.features] == [500_000, 500_400]


@pytest.mark.parametrize("rows", [1, 3])
def test_unequal_numbers_of_shapes_and_rows_are_refused(tmp_path: Path, rows: int) -> None:
    assert f"2 shapes but {rows} rows" in refusal(tmp_path, shapefile_of(TWO, dbf([CROP], [[b"a"]] * rows)))


def test_the_shx_says_which_records_count(tmp_path: Path) -> None:
    """A tool that changed a shape left the old one in the .shp file, and wrote the new one elsewhere."""
    shp, shx = shp_and_shx(TWO, gap=struct.pack(">2i", 1, 2) + bytes(4), backwards=True)
    layer = read(tmp_path, shapefile_of(TWO, dbf([CROP], [[b"a"], [b"b"]]), shp=shp, shx=shx))
    assert [(it.properties["crop"], it.geometry.bounds[0]) for it in layer.features] == [("a", 500_000), ("b", 500_200)]


@pytest.mark.parametrize(
    ("text", "encoding", "language_id", "cpg", "found_by"),
    [
        ("甘蔗", "gbk", 0x4D, b"", "language_id"),
        ("甘蔗地㙍", "gb18030", 0x4D, b"", "language_id"),
        ("甘蔗地㙍", "gb18030", 0, b"GB2312", "cpg"),
        ("甘蔗地㙍", "gb18030", 0, b"", "text"),
        ("甘蔗", "utf-8", 0x57, b"", "text"),
        ("甘蔗", "gbk", 0x57, b"", "text"),
        ("甘蔗", "utf-8", 0x4D, b"\xef\xbb\xbfUTF-8\r\n", "cpg"),
        ("사탕수수", "cp949", 0x4E, b"", "language_id"),
        ("사탕수수", "euc_kr", 0, b"EUC-KR", "cpg"),
        ("甘蔗", "big5", 0x4F, b"", "language_id"),
        ("甘蔗", "big5", 0, b"Big5", "cpg"),
        ("サトウキビ", "cp932", 0x13, b"", "language_id"),
        ("サトウキビ", "cp932", 0, b"SHIFT_JIS", "cpg"),
        ("อ้อย", "cp874", 0x50, b"", "language_id"),
        ("тростник", "cp866", 0x26, b"", "language_id"),
        ("тростник", "cp1251", 0xC9, b"", "language_id"),
        ("Zuckerrübe", "cp850", 0x02, b"", "language_id"),
        ("Zuckerrübe", "cp1252", 0x57, b"", "text"),
        ("Cana-de-açúcar", "cp1252", 0, b"", "text"),
        ("PLANTAÇÕES", "cp1252", 0x57, b"", "text"),
        ("A区甘蔗B", "gbk", 0, b"", "text"),
        ("GF2甘蔗x", "gbk", 0, b"", "text"),
        ("Zuckerrübe", "cp1252", 0, b"ANSI 1252", "cpg"),
        ("Zuckerrübe", "cp1252", 0, b"LDID/87", "text"),
        ("甘蔗", "gbk", 0, b"LDID/77", "cpg"),
        ("甘蔗", "gbk", 0, b"CP936", "cpg"),
    ],
)
def test_text_and_names_are_decoded_as_the_file_says(
    tmp_path: Path, text: str, encoding: str, language_id: int, cpg: bytes, found_by: str
) -> None:
    name = text[:3].encode(encoding)
    files = one((name, "C", 40), text.encode(encoding), language_id=language_id, **({"cpg": cpg} if cpg else {}))
    layer = read(tmp_path, files)
    assert layer.features[0].properties == {text[:3]: text}
    assert layer.encoding is not None and layer.encoding.found_by == found_by
    assert "undecodable_text" not in notes(layer)
    assert ("guessed_encoding" in notes(layer)) == (found_by == "text" and encoding != "utf-8")


@pytest.mark.parametrize(
    "cpg",
    [
        b"base64",
        b"zip",
        b"rot13",
        b"idna",
        b"utf-7",
        b"unicode_escape",
        b"utf-16",
        b"undefined",
        b"\xff",
        b"../x",
        b"9",
    ],
)
def test_a_cpg_that_names_no_encoding_of_text_is_not_used_and_named(tmp_path: Path, cpg: bytes) -> None:
    assert named_encoding(cpg) is None
    layer = read(tmp_path, one(CROP, "甘蔗".encode(), cpg=cpg))
    assert texts(layer) == ["甘蔗"] and "unknown_encoding" in notes(layer)


@pytest.mark.parametrize("cpg", [b"1" * 60_000, b"8859" * 20_000, b" " * 60_000 + b"x"])
def test_a_long_cpg_costs_no_time(tmp_path: Path, cpg: bytes) -> None:
    started = time.process_time()
    assert ".cpg" in refusal(tmp_path, one(CROP, b"a", cpg=cpg))
    assert time.process_time() - started < 2


def test_text_that_does_not_decode_is_named(tmp_path: Path) -> None:
    layer = read(tmp_path, one((b"crop", "C", 4), "甘蔗".encode()[:4], cpg=b"UTF-8"))
    assert texts(layer) == ["甘\ufffd"] and "'甘\ufffd' in crop" in notes(layer)["undecodable_text"]


def test_a_text_that_its_column_cuts_does_not_change_the_encoding(tmp_path: Path) -> None:
    table = dbf([(b"crop", "C", 5)], [["甘蔗".encode()], ["糖".encode()]])
    layer = read(tmp_path, shapefile_of(TWO, table))
    assert layer.encoding is not None and layer.encoding.name == "utf-8" and texts(layer) == ["甘\ufffd", "糖"]


@pytest.mark.parametrize(
    ("kind", "cell", "value"),
    [
        ("C", b"  two words  ", "two words"),
        ("C", b"", None),
        ("C", b"a\0bcdef", "a"),
        ("N", b"   12", 12),
        ("N", b"-1.50", -1.5),
        ("N", b"1e3", 1000.0),
        ("N", b"", None),
        ("N", b"*****", None),
        ("N", b"9007199254740993", 9007199254740993),
        ("F", b"2.5E-01", 0.25),
        ("L", b"T", True),
        ("L", b"n", False),
        ("L", b"?", None),
        ("L", b"", None),
        ("D", b"20240229", "2024-02-29"),
        ("D", b"00000000", None),
        ("D", b"", None),
    ],
)
def test_values_are_read_by_the_type_of_their_column(tmp_path: Path, kind: str, cell: bytes, value: object) -> None:
    layer = read(tmp_path, one((b"crop", kind, 20), cell))
    assert texts(layer) == [value] and type(texts(layer)[0]) is type(value) and notes(layer) == {}


@pytest.mark.parametrize(
    ("kind", "cell"), [("N", b"nan"), ("N", b"1_000"), ("N", b"1 2"), ("D", b"2024-2-9"), ("L", b"x")]
)
def test_values_that_are_none_of_their_type_are_named(tmp_path: Path, kind: str, cell: bytes) -> None:
    layer = read(tmp_path, one((b"crop", kind, 8), cell))
    assert texts(layer) == [None] and "in crop" in notes(layer)["unreadable_values"]


def test_memos_are_not_read_and_named(tmp_path: Path) -> None:
    table = dbf([(b"crop", "C", 4), (b"remark", "M", 10)], [[b"cane", b"1"]])
    layer = read(tmp_path, shapefile_of(TWO[:1], table))
    assert layer.features[0].properties == {"crop": "cane"} and "'remark'" in notes(layer)["unread_attributes"]


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    assert "same name" in refusal(tmp_path, shapefile_of(TWO[:1], dbf([CROP, CROP], [[b"a", b"b"]])))


@pytest.mark.parametrize(
    "lie", [{"records": 3}, {"records": 2**31}, {"header": 32}, {"header": 60_000}, {"width": 9}, {"width": 0}]
)
def test_a_dbf_whose_header_lies_is_refused(tmp_path: Path, lie: dict[str, int]) -> None:
    refusal(tmp_path, shapefile_of(TWO, dbf([CROP], [[b"a"], [b"b"]], lies=lie)))


@pytest.mark.parametrize("size", [0, 1, 31, 33, 64])
def test_a_short_dbf_is_refused(tmp_path: Path, size: int) -> None:
    refusal(tmp_path, shapefile_of(TWO, dbf([CROP], [[b"a"], [b"b"]])[:size]))


@pytest.mark.parametrize("counts", [{"parts": 2**30}, {"points": 2**30}, {"parts": -1}, {"points": -5}, {"points": 0}])
def test_a_shape_whose_counts_lie_is_refused(tmp_path: Path, counts: dict[str, int]) -> None:
    path = zipped(tmp_path / "x.zip", shapefile_of([shape(ring(), **counts)], dbf([CROP], [[b"a"]])))
    with pytest.raises(InputRefused) as refused:
        read_layer(path)
    assert refused.value.faults[0].code == "bad_geometry"


@pytest.mark.parametrize(("at", "number"), [(100, 2**30), (100, 0), (104, 2**30), (24, 1)])
def test_records_outside_their_file_are_refused(tmp_path: Path, at: int, number: int) -> None:
    shp, shx = map(bytearray, shp_and_shx(TWO))
    struct.pack_into(">i", shp if at == 104 else shx, at, number)
    refusal(tmp_path, shapefile_of(TWO, dbf([CROP], [[b"a"], [b"b"]]), shp=bytes(shp), shx=bytes(shx)))


def test_a_record_that_the_shx_names_twice_is_refused(tmp_path: Path) -> None:
    _, shx = shp_and_shx(TWO)
    assert "overlap" in refusal(
        tmp_path, shapefile_of(TWO, dbf([CROP], [[b"a"], [b"b"]]), shx=shx[:100] + shx[100:108] * 2)
    )


def only(path: Path, *shapes: bytes) -> FeatureLayer:
    return read(path, shapefile_of(shapes, dbf([CROP], [[b"a"]] * len(shapes))))


@pytest.mark.parametrize("kind", [5, 15, 25])
def test_heights_and_measures_are_dropped(tmp_path: Path, kind: int) -> None:
    (feature,) = only(tmp_path, shape(ring(), kind=kind)).features
    assert shapely.equals(feature.geometry, Polygon(ring())) and not feature.geometry.has_z


def test_null_shapes_are_left_out_and_counted(tmp_path: Path) -> None:
    layer = only(tmp_path, shape(ring()), shape())
    assert (len(layer.features), layer.without_geometry) == (1, 1)


def test_rings_that_wind_the_wrong_way_are_read_by_what_lies_in_what_and_noted(tmp_path: Path) -> None:
    hole = ring(500_020, 1_199_980, 20)
    layer = only(tmp_path, shape(hole, ring(clockwise=False)), shape(ring(500_200, clockwise=False)))
    assert [feature.geometry.area for feature in layer.features] == [9600, 10_000]
    assert "2 features" in notes(layer)["ring_order"]


def test_a_hole_outside_its_outline_is_refused(tmp_path: Path) -> None:
    outside = shape(ring(), ring(500_200, clockwise=False), ring(500_400))
    with pytest.raises(InputRefused, match="no outline"):
        only(tmp_path, outside)


def test_a_shape_of_another_type_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="MultiPatch"):
        only(tmp_path, shape(ring(), kind=31))


def test_a_wide_table_is_read(tmp_path: Path) -> None:
    columns: list[Column] = [(f"c{number}".encode(), "C", 2) for number in range(250)]
    rows, shapes = [[b"ab"] * 250] * 5000, [shape(ring())] * 5000
    layer = read(tmp_path, shapefile_of(shapes, dbf(columns, rows)))
    assert len(layer.features) == 5000
    assert set(layer.features[4999].properties.items()) == {(f"c{number}", "ab") for number in range(250)}


def test_a_table_of_too_many_values_is_refused() -> None:
    columns: list[Column] = [(f"c{number}".encode(), "C", 1) for number in range(250)]
    table = dbf(columns, [], lies={"records": 50_000})[:-1] + b" " * 251 * 50_000
    with pytest.raises(InputRefused, match="50,000 features with 250"):
        read_table(table, b"")


def test_text_that_could_be_utf_8_though_the_file_says_otherwise_is_noted(tmp_path: Path) -> None:
    layer = read(tmp_path, one(CROP, "甘蔗".encode(), cpg=b"GBK"))
    assert texts(layer) != ["甘蔗"] and "UTF-8" in notes(layer)["doubtful_encoding"]
    assert "doubtful_encoding" not in notes(read(tmp_path, one(CROP, "甘蔗".encode("gbk"), cpg=b"GBK")))


@pytest.mark.parametrize(("encoding", "name"), [("utf-8", "é"), ("gbk", "甘")])
def test_names_in_a_zip_may_lack_the_mark_of_their_encoding(tmp_path: Path, encoding: str, name: str) -> None:
    files = shapefile_of(TWO, dbf([CROP], [[b"a"], [b"b"]]), "XX") | shapefile_of(TWO, b"", "b")
    path = zipped(tmp_path / "x.zip", files)
    path.write_bytes(path.read_bytes().replace(b"XX.", name.encode(encoding) + b"."))
    assert read_layer(path, layer=name).name == name


def test_a_lone_shp_is_refused_with_the_mend(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(shp_and_shx(TWO)[0])
    with pytest.raises(InputRefused, match=r"a \.shp without"):
        read_layer(tmp_path / "x")


def test_rings_that_lie_in_each_other_by_the_thousand_are_refused_fast(tmp_path: Path) -> None:
    rings = [ring(500_000 + n, 1_200_000 - n, 10_000 - 2 * n, clockwise=n % 2 == 0) for n in range(4000)]
    started = time.process_time()
    with pytest.raises(InputRefused, match="too often"):
        only(tmp_path, shape(*rings))
    assert time.process_time() - started < 5


def test_holes_and_islands_find_their_outlines(tmp_path: Path) -> None:
    rings = [ring(500_000 + 10 * n, 1_200_000 - 10 * n, 100 - 20 * n, clockwise=n % 2 == 0) for n in range(4)]
    layer = only(tmp_path, shape(*rings), shape(*(each[::-1] for each in rings)))
    assert [feature.geometry.area for feature in layer.features] == [10_000 - 6400 + 3600 - 1600] * 2
    assert "1 features" in notes(layer)["ring_order"]


def test_a_long_list_of_files_in_a_zip_is_refused_unread(tmp_path: Path) -> None:
    whole = zipped(tmp_path / "x.zip", shapefile_of(TWO, dbf([CROP], [[b"a"], [b"b"]]))).read_bytes()
    for at, lie in ((len(whole) - 10, struct.pack("<I", 2 << 20)), (len(whole) - 42, b"PK\6\7")):
        (tmp_path / "x.zip").write_bytes(whole[:at] + lie + whole[at + 4 :])
        with pytest.raises(InputRefused, match="long"):
            read_layer(tmp_path / "x.zip")


@pytest.mark.parametrize("prj", [b"\xef\xbb\xbf" + PRJ, PRJ + b"\r\n "])
def test_a_prj_may_have_a_mark_or_space_around_it(tmp_path: Path, prj: bytes) -> None:
    layer = read(tmp_path, shapefile_of(TWO, dbf([CROP], [[b"a"], [b"b"]]), prj=prj))
    assert layer.crs is not None and layer.crs.to_epsg() == 32648


def test_a_prj_whose_code_is_that_of_another_crs_is_refused(tmp_path: Path) -> None:
    prj = CRS(32648).to_wkt("WKT1_GDAL").replace('"EPSG","32648"', '"EPSG","32649"').encode()
    path = zipped(tmp_path / "x.zip", shapefile_of(TWO, dbf([CROP], [[b"a"], [b"b"]]), prj=prj))
    with pytest.raises(InputRefused, match="EPSG:32649, which is 'WGS 84 / UTM zone 49N'"):
        read_layer(path)
    assert len(read_layer(path, crs="EPSG:32648").features) == 2


@pytest.mark.parametrize("prj", [b'GEOGCS["a",' * 100_000, b'PROJCS["' + b"x" * 20_000_000 + b'"]', b"\xff\xfe"])
def test_a_long_or_deep_prj_is_refused_at_once(tmp_path: Path, prj: bytes) -> None:
    path = zipped(tmp_path / "x.zip", shapefile_of(TWO, dbf([CROP], [[b"a"], [b"b"]]), prj=prj))
    with pytest.raises(InputRefused):
        read_layer(path)
    started = time.process_time()
    with pytest.raises(InputRefused, match="cannot be read"):
        crs_from_wkt(prj.decode("latin-1"))
    assert time.process_time() - started < 1
