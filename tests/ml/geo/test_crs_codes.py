"""CRSs whose code stands for something else than the definition beside it."""

import pyproj
import pytest

from ml.faults import InputRefused
from ml.geo.crs_codes import code_notes, crs_of_file

UTM = pyproj.CRS("EPSG:32648").to_wkt("WKT1_GDAL")
BEIJING = pyproj.CRS("EPSG:4214").to_wkt("WKT1_GDAL")
ZONE_49 = ('"EPSG","32648"', '"EPSG","32649"')


def refusal(wkt: str) -> str:
    with pytest.raises(InputRefused) as refused:
        crs_of_file(wkt)
    assert [fault.code for fault in refused.value.faults] == ["contradictory_crs"]
    return refused.value.faults[0].detail


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (ZONE_49, "639,5"),
        (('"central_meridian",105', '"central_meridian",105.5'), "53,2"),
        (('"false_easting",500000', '"false_easting",500001'), "1.00 m"),
        (('"false_easting",500000', '"false_easting",48500000'), "nowhere"),
        (("6378137,298.257223563", "6378245,298.3"), "6378245"),
        (('PRIMEM["Greenwich",0', 'PRIMEM["Paris",2.33722917'), "1"),
    ],
)
def test_a_code_for_another_place_is_refused_with_both(change: tuple[str, str], difference: str) -> None:
    detail = refusal(UTM.replace(*change))
    assert "EPSG:32" in detail and "WGS 84 / UTM zone 4" in detail and difference in detail


def test_the_code_of_the_base_counts_too() -> None:
    own = UTM.replace(',AUTHORITY["EPSG","32648"]', "").replace("6378137,298.257223563", "6378245,298.3")
    assert "EPSG:4326" in refusal(own)


def test_the_horizontal_part_of_a_compound_crs_counts() -> None:
    compound = pyproj.CRS("EPSG:32648+5773").to_wkt("WKT1_GDAL")
    assert crs_of_file(compound).name == "WGS 84 / UTM zone 48N"
    refusal(compound.replace(*ZONE_49))


@pytest.mark.parametrize("code", [32648, 4490, 4524, 2360, 3857, 27572, 2227, 21418, 4807, 3035, 5514, 4214])
@pytest.mark.parametrize("version", ["WKT1_GDAL", "WKT1_ESRI", "WKT2_2019"])
def test_what_an_authority_lists_does_not_contradict_itself(code: int, version: str) -> None:
    wkt = pyproj.CRS.from_epsg(code).to_wkt(version)
    assert code_notes(crs_of_file(wkt)) == ()


@pytest.mark.parametrize(
    "change",
    [
        (',AUTHORITY["EPSG","32648"]', ""),
        ('"EPSG","32648"', '"EPSG","99999"'),
        ('"WGS 84 / UTM zone 48N"', '"mine"'),
        (',AUTHORITY["EPSG","7030"]', ",TOWGS84[0,0,0,0,0,0,0]"),
        ("298.257223563", "298.257222101"),
        ("0.0174532925199433", "0.017453292519943295"),
    ],
)
def test_other_names_and_rounded_numbers_are_no_contradiction(change: tuple[str, str]) -> None:
    assert code_notes(crs_of_file(UTM.replace(*change))) == ()


def test_a_code_for_another_datum_is_noted() -> None:
    other = BEIJING.replace('DATUM["Beijing_1954"', 'DATUM["of the county"').replace(',AUTHORITY["EPSG","6214"]', "")
    (note,) = code_notes(crs_of_file(other))
    assert note.code == "other_datum" and "'Beijing 1954'" in note.detail
