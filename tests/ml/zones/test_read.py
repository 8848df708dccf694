"""Which layers of zones are read, what is refused, and what the report says of them."""

from pathlib import Path

import pytest
import shapely

from ml.faults import InputRefused
from ml.zones.inspect import inspect_zones
from ml.zones.read import ZoneOptions, Zones
from tests.ml.labels.layers import Item, geojson, geopackage, square, zipped_shapefile

FIELDS = ZoneOptions(code_field="PAC", name_field="NAME", parent_field="UP")


def county(col: float, code: str | None, name: str = "县", up: str | None = "45", size: float = 10) -> Item:
    return square(col, 0, size), {"PAC": code, "NAME": name, "UP": up}


def refusal(path: Path, options: ZoneOptions = FIELDS) -> list[str]:
    with pytest.raises(InputRefused) as refused:
        Zones(path, options)
    return [fault.code for fault in refused.value.faults]


@pytest.mark.parametrize("kind", ["shapefile in GBK", "geopackage", "geojson"])
def test_every_format_has_the_same_zones(tmp_path: Path, kind: str) -> None:
    items = [county(0, "450122", "武鸣区"), county(10, "450126", "宾阳县")]
    path = {
        "shapefile in GBK": lambda: zipped_shapefile(tmp_path / "z.zip", items, encoding="gbk"),
        "geopackage": lambda: geopackage(tmp_path / "z.gpkg", items),
        "geojson": lambda: geojson(tmp_path / "z.geojson", items),
    }[kind]()
    found = inspect_zones(path, FIELDS, tmp_path / "features.geojson")
    assert [(each.code, each.name, each.parent) for each in found.zones] == [
        ("450122", "武鸣区", "45"),
        ("450126", "宾阳县", "45"),
    ]
    assert [each.area_ha for each in found.zones] == pytest.approx([1, 1], rel=2e-3)
    assert found.report.unknown_parents == ("45",)
    assert (found.report.encoding is not None) == kind.startswith("shapefile")


def test_islands_of_one_county_are_one_zone(tmp_path: Path) -> None:
    path = geojson(tmp_path / "z.geojson", [county(0, "1"), county(20, "1"), county(40, "2", "岛")])
    found = inspect_zones(path, FIELDS, tmp_path / "features.geojson")
    assert [each.area_ha for each in found.zones] == pytest.approx([2, 1], rel=2e-3)
    assert (found.report.features, found.report.zones) == (3, 2)
    (note,) = [note for note in found.report.warnings if note.code == "joined_features"]
    assert "1 (2)" in note.detail


@pytest.mark.parametrize(
    ("items", "codes"),
    [
        ([county(0, "1"), county(10, "1", "别")], ["duplicate_code"]),
        ([county(0, "1"), county(10, "1", up="46")], ["duplicate_code"]),
        ([county(0, None), county(10, " "), county(20, "3")], ["missing_code", "missing_code"]),
        ([county(0, "x" * 81)], ["bad_zone_text"]),
        ([county(0, "1", up="2"), county(10, "2", up="3"), county(20, "3", up="1")], ["parent_cycle"] * 3),
        ([county(0, "1", up="1")], ["parent_cycle"]),
    ],
)
def test_what_is_ambiguous_is_refused(tmp_path: Path, items: list[Item], codes: list[str]) -> None:
    assert refusal(geojson(tmp_path / "z.geojson", items)) == codes


def test_attributes_that_are_not_there_are_all_told(tmp_path: Path) -> None:
    path = geojson(tmp_path / "z.geojson", [county(0, "1")])
    assert refusal(path, ZoneOptions()) == ["no_code_field"]
    absent = ZoneOptions(code_field="a", name_field="b", parent_field="c")
    assert refusal(path, absent) == ["missing_code_field", "missing_name_field", "missing_parent_field"]


def test_overlaps_are_told_but_not_those_with_what_a_zone_is_a_part_of(tmp_path: Path) -> None:
    items = [
        county(0, "45", up=None, size=40),
        county(0, "4501", up="45", size=20),
        county(0, "450122", up="4501"),  # in 45 and 4501
        county(15, "4502", up="45", size=20),  # 5 px over 4501
        county(19, "x", up=None, size=2),  # over all but 450122
    ]
    found = inspect_zones(geojson(tmp_path / "z.geojson", items), FIELDS, tmp_path / "features.geojson")
    told = {overlap.zones: overlap.area_ha for overlap in found.report.overlaps}
    expected = {("4501", "4502"): 1.0, ("45", "x"): 0.04, ("4501", "x"): 0.02, ("4502", "x"): 0.04}
    assert told == pytest.approx(expected, rel=2e-3)
    assert found.report.overlap_ha == pytest.approx(sum(expected.values()), rel=2e-3)
    in_others = {each.code: each.overlap_ha for each in found.zones}
    expected_of = {"45": 0.04, "4501": 1.0, "450122": 0, "4502": 1.02, "x": 0.04}
    assert in_others == pytest.approx(expected_of, rel=2e-3)


def test_neighbours_do_not_overlap(tmp_path: Path) -> None:
    found = inspect_zones(
        geojson(tmp_path / "z.geojson", [county(0, "1"), county(10, "2", "别")]), FIELDS, tmp_path / "features.geojson"
    )
    assert found.report.overlaps == () and "overlapping_zones" not in {note.code for note in found.report.warnings}


def test_a_zone_round_a_pole_is_refused(tmp_path: Path) -> None:
    ring = shapely.buffer(shapely.points(0, 0), 1_000_000)
    path = geopackage(tmp_path / "z.gpkg", [(ring, {"PAC": "1", "NAME": "极", "UP": ""})], crs=3031)
    with pytest.raises(InputRefused) as refused:
        inspect_zones(path, FIELDS, tmp_path / "features.geojson")
    assert [fault.code for fault in refused.value.faults] == ["round_a_pole"]
