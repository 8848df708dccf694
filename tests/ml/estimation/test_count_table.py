"""Tables of counts and areas are read as people write them, and what is not clear is refused."""

from pathlib import Path

import numpy as np
import pytest

from ml.estimation.count_table import CountTable, read_count_table
from ml.faults import InputRefused

COUNTS = ((97, 0, 3), (3, 279, 18), (2, 1, 97))
AREAS = (22353, 1122543, 610228)
NAMED = ",cane,rice,other\ncane,97,0,3\nrice,3,279,18\nother,2,1,97\n"
PLAIN = "97,0,3\n3,279,18\n2,1,97\n"


def read(folder: Path, counts: str | bytes, areas: str | bytes) -> CountTable:
    paths = folder / "counts.csv", folder / "areas.csv"
    for path, text in zip(paths, (counts, areas), strict=True):
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_count_table(*paths)


def codes(folder: Path, counts: str | bytes, areas: str | bytes) -> list[str]:
    with pytest.raises(InputRefused) as refused:
        read(folder, counts, areas)
    return [fault.code for fault in refused.value.faults]


@pytest.mark.parametrize(
    "counts",
    [
        NAMED,
        PLAIN,
        NAMED.replace(",cane,rice", "map,cane,rice", 1),
        NAMED.replace(",cane,rice", "map \\ reference,cane,rice", 1),
        NAMED.replace(",cane,rice,other", ",ref cane,ref rice,ref other", 1).replace("\n", "\nmap ", 3),
        NAMED.replace(",", ";"),
        NAMED.replace(",", "\t"),
        NAMED.replace(",", ", "),
        NAMED.replace("\n", "\r\n"),
        NAMED.replace("\n", ",,\n") + ",,,,\n\n",
        "sep=;\n" + NAMED.replace(",", ";"),
        "\ufeff" + NAMED,
        NAMED.encode("utf-16"),
        NAMED.replace(",cane", "cane", 1),
        "cane,rice,other\n" + PLAIN,
        "cane,97,0,3\nrice,3,279,18\nother,2,1,97\n",
        ",1,2,3\n1,97,0,3\n2,3,279,18\n3,2,1,97\n",
        "class,1,2,3\n1,97,0,3\n2,3,279,18\n3,2,1,97\n",
        PLAIN.replace(",", " "),
        PLAIN.replace("279", "279.0"),
        ",cane,rice,other,total\ncane,97,0,3,100\nrice,3,279,18,300\nother,2,1,97,100\ntotal,102,280,118,500\n",
        ",cane,rice,other\nother,2,1,97\ncane,97,0,3\nrice,3,279,18\n",
    ],
)
def test_counts_are_read_in_the_forms_that_people_write(tmp_path: Path, counts: str | bytes) -> None:
    table = read(tmp_path, counts, "22353,1122543,610228")
    assert (table.counts.tolist(), tuple(table.mapped)) == ([list(row) for row in COUNTS], AREAS)
    assert table.names in (("cane", "rice", "other"), ("1", "2", "3"))


@pytest.mark.parametrize(
    "areas",
    [
        "22353,1122543,610228",
        "22353;1122543;610228\r\n",
        "22353\n1122543\n610228\n",
        "22 353\n1 122 543\n610 228\n",
        "22'353\n1'122'543\n610'228\n",
        "22\u00a0353\n1\u00a0122\u00a0543\n610\u00a0228\n",
        '"22,353","1,122,543","610,228"',
        "22353,0;1122543,0;610228,0",
        "22353.0,1.122543e6,610228",
        "area\n22353\n1122543\n610228\n",
        "cane,rice,other\n22353,1122543,610228\n",
        "class,area\nother,610228\ncane,22353\nrice,1122543\n",
        "cane,22353\nrice,1122543\nother,610228\n",
        "Cane ,22353\nRICE,1122543\nother,610228\ntotal,1755124\n",
        "map cane;map rice;map other\n22353;1122543;610228\n",
        "\uff12\uff12\uff13\uff15\uff13,1122543,610228",
    ],
)
def test_areas_are_read_in_the_forms_that_people_write(tmp_path: Path, areas: str) -> None:
    table = read(tmp_path, NAMED, areas)
    assert tuple(table.mapped) == AREAS
    assert (table.names, len(table.notes)) == (
        ("cane", "rice", "other"),
        int(not any(name in areas for name in ("rice", "RICE"))),
    )


@pytest.mark.parametrize("areas", ["1,22353\n3,610228\n2,1122543\n", "1,3,2\n22353,610228,1122543"])
def test_classes_that_are_numbers_are_told_from_areas(tmp_path: Path, areas: str) -> None:
    assert tuple(read(tmp_path, PLAIN, areas).mapped) == AREAS


def test_names_in_chinese_are_read_in_the_encodings_of_spreadsheets(tmp_path: Path) -> None:
    text = ",甘蔗,水稻,其他\n甘蔗,97,0,3\n水稻,3,279,18\n其他,2,1,97\n"
    for encoding in ("utf-8", "utf-8-sig", "gb18030", "gbk"):
        table = read(
            tmp_path, text.encode(encoding), "类别,面积\n其他,610228\n甘蔗,22353\n水稻,1122543\n".encode(encoding)
        )
        assert (table.names, tuple(table.mapped)) == (("甘蔗", "水稻", "其他"), AREAS)


def test_names_of_areas_name_counts_without_names(tmp_path: Path) -> None:
    assert read(tmp_path, PLAIN, "class,area\ncane,22353\nrice,1122543\nother,610228").names == (
        "cane",
        "rice",
        "other",
    )


@pytest.mark.parametrize(
    ("counts", "areas", "found"),
    [
        (PLAIN.replace("97,0", "97,-1"), "1,2,3", ["negative_count"]),
        (PLAIN.replace("97,0", "97,nan"), "1,2,3", ["not_a_number"]),
        (PLAIN.replace("97,0", "97,inf"), "1,2,3", ["not_a_number"]),
        (PLAIN.replace("97,0", "97,"), "1,2,3", ["not_a_number"]),
        (PLAIN.replace("97,0", "97,0.5"), "1,2,3", ["fraction_as_count"]),
        ("0.97,0,0.03\n0.01,0.9,0.09\n0.02,0.01,0.97", "1,2,3", ["fraction_as_count"] * 8),
        ("97,0,3\n3,279,18\n", "1,2,3", ["not_square"]),
        ("97\n", "1", ["too_few_classes"]),
        (NAMED.replace("\nother", "\ntea"), "1,2,3", ["other_classes"]),
        (NAMED, "class,area\ncane,1\nrice,2\ntea,3", ["other_classes"]),
        (NAMED, "1,2", ["other_classes"]),
        (NAMED, "1,2\n3,4", ["not_a_list"]),
        (PLAIN, "area,class\n", ["not_a_table"]),
        ("97,3\n2,95", "1,2\n2,1", ["not_a_list"]),
        (NAMED, "1,2,3\n4,5,6", ["not_a_list"]),
        (NAMED.replace(",rice", ",cane", 1), "1,2,3", ["repeated_class", "other_classes"]),
        (NAMED, "cane,1\nrice,2\nrice,3", ["repeated_class"]),
        (NAMED.replace(",cane", "reference,cane", 1), "1,2,3", ["transposed"]),
        (NAMED.replace(",cane", "reference \\ map,cane", 1), "1,2,3", ["transposed"]),
        (NAMED.replace(",cane,rice,other", ",map cane,map rice,map other"), "1,2,3", ["transposed", "other_classes"]),
        (NAMED.replace("\n", "\n参考", 3), "1,2,3", ["transposed", "other_classes"]),
        ("97,0,3,100\n3,279,18,300\n2,1,97,100\n102,280,118,500", "1,2,3", ["unnamed_totals"]),
        (",cane,rice,total\ncane,97,0,98\nrice,3,279,282", "1,2", ["wrong_total"]),
        (NAMED, "1,-2,3", ["negative_area"]),
        (NAMED, "1,nan,3", ["not_a_number"]),
        (NAMED, "0,0,0", ["no_area"]),
        (NAMED, "0,2,3", ["points_without_area"]),
        (NAMED, "22.353;1122543;610228", ["ambiguous_number"]),
        (NAMED, "22,353;1122543;610228", ["ambiguous_number"]),
        (PLAIN.replace("97,0,3", "1,0,0"), "1,2,3", ["one_point"]),
        ("0,0\n0,0", "1,2", ["no_points"]),
        (
            PLAIN.replace("97,0,3", "1,-4,x"),
            "1,-2,nan",
            ["not_a_number", "not_a_number", "negative_count", "negative_area"],
        ),
        ("", "1,2", ["not_a_table"]),
        (b"\x00\x01\x02", "1,2", ["not_a_table"]),
    ],
)
def test_what_is_wrong_or_not_clear_is_refused(
    tmp_path: Path, counts: str | bytes, areas: str, found: list[str]
) -> None:
    assert codes(tmp_path, counts, areas) == found


def test_a_class_of_the_map_without_any_point_is_read_and_kept(tmp_path: Path) -> None:
    table = read(tmp_path, PLAIN.replace("97,0,3", "0,0,0"), "1,2,3")
    assert np.array_equal(table.counts[0], [0, 0, 0])
