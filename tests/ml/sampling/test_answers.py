"""Answers are read as spreadsheets and GIS programs write them, and everything wrong with them is told at once."""

import json

import pytest

from ml.contract import ClassDef
from ml.faults import InputRefused
from ml.sampling.answer_files import Answer, answers_in_csv, answers_in_geojson

CLASSES = (ClassDef(value=0, name="other"), ClassDef(value=1, name="甘蔗"))
POINTS = range(1, 11)
TABLE = "id,lon,class,unusable\n1,108.5,甘蔗,\n2,,Other,\n3,,,\n4,,,云\n5.0,,1.0,\n6,,0,\n"
READ = [Answer(1, 1, None), Answer(2, 0, None), Answer(4, None, "云"), Answer(5, 1, None), Answer(6, 0, None)]


@pytest.mark.parametrize(
    "content",
    [
        TABLE.encode(),
        b"\xef\xbb\xbf" + TABLE.encode(),
        TABLE.encode("gbk"),
        TABLE.encode("utf-16"),
        TABLE.replace(",", ";").encode(),
        TABLE.replace(",", "\t").replace("\n", "\r\n").encode(),
        TABLE.replace("id,lon,class", "ID, Lon ,Class").encode(),
        b"\xef\xbb\xbfsep=;\r\n" + TABLE.replace(",", ";").encode(),
        b"\xef\xbb\xbf\xef\xbb\xbf" + TABLE.encode(),
    ],
    ids=["utf-8", "byte order mark", "gbk", "utf-16", "semicolons", "tabs and crlf", "headings", "sep", "two marks"],
)
def test_a_csv_is_read_in_each_form_that_excel_and_wps_save(content: bytes) -> None:
    assert answers_in_csv(content, POINTS, CLASSES) == READ


def test_geojson_says_the_same() -> None:
    rows = [{"id": 1, "class": "甘蔗"}, {"id": 2, "class": "other", "unusable": None}, {"id": 3, "class": None}]
    rows += [{"id": 4, "unusable": "云"}, {"id": 5.0, "class": 1}, {"id": "6", "class": 0}]
    features = [{"type": "Feature", "geometry": None, "properties": row} for row in rows]
    assert answers_in_geojson({"type": "FeatureCollection", "features": features}, POINTS, CLASSES) == READ


def codes(content: str) -> list[tuple[str, str]]:
    with pytest.raises(InputRefused) as refused:
        answers_in_csv(content.encode(), POINTS, CLASSES)
    return [(fault.code, fault.pointer) for fault in refused.value.faults]


def test_all_faults_are_told_at_once_with_their_rows() -> None:
    table = "id,class,unusable\n99,甘蔗,\n1,rice,\n2,other,\n2,other,\n3,other,cloud\n4,,a\x07b\nx,other,\n"
    assert codes(table) == [
        ("unknown_point", "/2"),
        ("unknown_class", "/3"),
        ("repeated_point", "/5"),
        ("two_answers", "/6"),
        ("invalid_text", "/7"),
        ("unknown_point", "/8"),
    ]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", "missing_column"),
        ("point,class\n1,0\n", "missing_column"),
        ("id,class,class\n1,0,1\n", "repeated_column"),
        ("id,class\n" + "1,0\n" * 10_001, "too_many_rows"),
        ("PK\x03\x04\x14\x00\x08,id,class", "not_a_table"),
        ("<html><table><tr><td>id</td></tr></table></html>", "missing_column"),
    ],
)
def test_what_is_no_table_of_answers_is_refused(content: str, code: str) -> None:
    assert [found for found, _ in codes(content)] == [code]


@pytest.mark.parametrize("document", [[], {}, {"features": {}}, {"features": [1]}, {"features": [{"properties": {}}]}])
def test_what_is_no_geojson_of_answers_is_refused(document: object) -> None:
    with pytest.raises(InputRefused):
        answers_in_geojson(json.loads(json.dumps(document)), POINTS, CLASSES)


@pytest.mark.parametrize("as_json", [False, True])
def test_the_file_of_another_sample_is_refused(as_json: bool) -> None:
    rows = [{"id": 1, "row": 5, "col": 7, "class": "other"}, {"id": 2, "row": 5, "col": 8, "class": "other"}]
    places = {1: (5, 7), 2: (6, 8), 3: (1, 1)}

    def read(some: list[dict[str, object]]) -> list[Answer]:
        if as_json:
            features = [{"properties": row} for row in some]
            return answers_in_geojson({"features": features}, places, CLASSES, places)
        lines = [",".join(map(str, line)) for line in (some[0], *(row.values() for row in some))]
        return answers_in_csv("\n".join(lines).encode(), places, CLASSES, places)

    with pytest.raises(InputRefused, match="another pixel than row 5, col 8") as refused:
        read([dict(row) for row in rows])
    assert [fault.code for fault in refused.value.faults] == ["other_point"]
    assert read([{"id": 2, "row": 6.0, "col": 8.0, "class": "other"}]) == [Answer(2, 0, None)]
    assert read([{"id": 2, "class": "other"}]) == [Answer(2, 0, None)]


@pytest.mark.parametrize("id_", ["1E+00", "-1", "0", "11", "nan", "１", "9" * 5000, "1,5", "'1"])
def test_what_is_no_id_of_a_point_is_refused(id_: str) -> None:
    assert codes(f'id,class\n"{id_}",other\n') == [("unknown_point", "/2")]


def test_twenty_faults_are_told_and_the_others_counted() -> None:
    with pytest.raises(InputRefused) as refused:
        answers_in_csv(b"id,class\n" + b"99,rice\n" * 100, POINTS, CLASSES)
    assert len(refused.value.faults) == 20 and refused.value.more == 180


def test_a_text_that_names_one_class_and_is_the_value_of_another_is_refused() -> None:
    classes = (ClassDef(value=1, name="2"), ClassDef(value=2, name="cane"))
    with pytest.raises(InputRefused) as refused:
        answers_in_csv(b"id,class\n1,2\n2,cane\n3,1\n", POINTS, classes)
    assert [(fault.code, fault.pointer) for fault in refused.value.faults] == [("ambiguous_class", "/2")]
    assert refused.value.faults[0].detail == "'2' is class 1 (2) or class 2 (cane)."
    assert answers_in_csv(b"id,class\n2,cane\n3,1\n", POINTS, classes) == [Answer(2, 2, None), Answer(3, 1, None)]
