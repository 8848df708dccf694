"""Which CRS a file names, and how places get from one CRS to another."""

import threading

import numpy as np
import pyproj
import pytest

from ml.faults import InputRefused
from ml.geo.crs import crs_code, crs_from_wkt, degrees_beyond_use, lonlat, to_wgs84, transformer, turned, usable_crs
from ml.geo.operations import WGS84, operation

GUANGXI = (108.0, 23.0, 108.1, 23.1)
BEIJING_54, XIAN_80, CGCS2000 = (pyproj.CRS(code) for code in ("EPSG:4214", "EPSG:4610", "EPSG:4490"))


@pytest.mark.parametrize("zone", [48, 49, 51])
def test_a_crs_without_a_datum_has_no_code_and_lies_nowhere_in_particular(zone: int) -> None:
    unknown = pyproj.CRS(f"+proj=utm +zone={zone} +ellps=GRS80 +units=m")
    assert crs_code(unknown) is None
    assert degrees_beyond_use(unknown, 6 * zone - 183, 20) == 0


@pytest.mark.parametrize("code", ["EPSG:32648", "EPSG:4326", "EPSG:4490", "EPSG:4524", "EPSG:3857", "EPSG:27572"])
@pytest.mark.parametrize("version", ["WKT2_2019", "WKT1_ESRI"])
def test_a_crs_that_an_authority_lists_has_its_code(code: str, version: str) -> None:
    assert crs_code(crs_from_wkt(pyproj.CRS(code).to_wkt(version))) == code


def test_the_id_of_another_crs_is_not_believed() -> None:
    wkt = pyproj.CRS("EPSG:32648").to_wkt()
    assert crs_code(crs_from_wkt(wkt.replace('origin",105', 'origin",104'))) is None
    assert crs_code(crs_from_wkt(wkt.replace("6378137,298.257223563", "6378245,298.3"))) is None


def test_a_crs_with_its_own_datum_shift_has_no_code() -> None:
    assert crs_code(pyproj.CRS("+proj=longlat +ellps=krass +towgs84=15,-130,-84")) is None


def test_the_horizontal_part_of_a_compound_crs_is_used_and_a_geocentric_one_refused() -> None:
    assert crs_code(usable_crs(pyproj.CRS("EPSG:32648+5773"))) == "EPSG:32648"
    with pytest.raises(InputRefused, match="'WGS 84' is neither projected nor geographic"):
        usable_crs(pyproj.CRS("EPSG:4978"))


def test_one_operation_is_used_on_both_sides_of_a_border_between_two() -> None:
    # PROJ would choose by point between an operation for the Pearl River basin, east of 110.13, and others
    x, y = np.array([110.1299, 110.1301]), np.array([22.5, 22.5])
    lon, _ = to_wgs84(BEIJING_54, (110.12, 22.4, 110.14, 22.6)).transform(x, y)
    assert np.diff(lon)[0] == pytest.approx(0.0002, abs=1e-8)
    torn, _ = pyproj.Transformer.from_crs(BEIJING_54, WGS84, always_xy=True).transform(x, y)
    assert abs(np.diff(torn)[0] - 0.0002) > 1e-5


def test_the_operation_of_a_layer_has_a_name_an_accuracy_and_an_area() -> None:
    inside = operation(BEIJING_54, WGS84, (113.0, 22.0, 114.0, 22.5))
    assert (inside.name, inside.accuracy_m, inside.ballpark) == ("Beijing 1954 to WGS 84 (3)", 15, False)
    assert inside.covers((113.0, 22.0, 114.0, 22.5)) and not inside.covers((113.0, 22.0, 114.0, 24.5))
    lon, lat = inside.transformer.transform(113.5, 22.2)
    east_m, north_m = (lon - 113.5) * 111_320 * np.cos(np.radians(22.2)), (lat - 22.2) * 110_700
    assert 30 < np.hypot(east_m, north_m) < 150


def test_outside_all_areas_the_operation_of_the_nearest_one_is_used() -> None:
    nearest = operation(BEIJING_54, WGS84, GUANGXI)
    assert not nearest.covers(GUANGXI) and not nearest.ballpark
    assert nearest.area == (107.15, 17.81, 110.17, 21.69)


def test_datums_without_an_operation_are_taken_as_equal_and_say_so() -> None:
    unknown = operation(XIAN_80, WGS84, GUANGXI)
    assert unknown.ballpark and unknown.accuracy_m is None
    assert operation(XIAN_80, XIAN_80, GUANGXI).accuracy_m == 0


@pytest.mark.parametrize("other", ["EPSG:4326", "EPSG:32648", "OGC:CRS84"])
@pytest.mark.parametrize("chinese", ["EPSG:4490", "EPSG:4524"])
def test_cgcs2000_is_wgs84_within_a_metre(chinese: str, other: str) -> None:
    for pair in ((chinese, other), (other, chinese)):
        known = operation(*map(pyproj.CRS, pair), GUANGXI)
        assert (known.accuracy_m, known.ballpark) == (1, False)


def test_a_change_of_projection_alone_is_exact() -> None:
    assert operation(pyproj.CRS("EPSG:32648"), WGS84, GUANGXI).accuracy_m == 0


def test_the_datum_shift_in_a_file_is_used() -> None:
    own = pyproj.CRS("+proj=longlat +ellps=krass +towgs84=15,-130,-84")
    geocentric = pyproj.Transformer.from_pipeline(
        "+proj=pipeline +step +proj=unitconvert +xy_in=deg +xy_out=rad +step +proj=cart +ellps=krass"
        " +step +proj=helmert +x=15 +y=-130 +z=-84 +step +inv +proj=cart +ellps=WGS84"
        " +step +proj=unitconvert +xy_in=rad +xy_out=deg"
    )
    assert to_wgs84(own, GUANGXI).transform(108, 23) == pytest.approx(geocentric.transform(108, 23), abs=1e-9)
    assert not operation(own, WGS84, GUANGXI).ballpark


def test_one_operation_serves_many_threads() -> None:
    found: list[tuple[float, float]] = []

    def work() -> None:
        found.extend(transformer(BEIJING_54, WGS84, GUANGXI).transform(108, 23) for _ in range(200))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1 and len(found) == 1600


def test_nothing_is_fetched_from_the_network() -> None:
    assert not pyproj.network.is_network_enabled()  # type: ignore[attr-defined]


def test_longitudes_in_grads_are_returned_in_degrees() -> None:
    lon, lat = lonlat(pyproj.CRS("EPSG:4807"), np.array([100.0]), np.array([52.0]))
    assert (lon[0], lat[0]) == pytest.approx((90, 46.8))
    lon, lat = lonlat(pyproj.CRS("EPSG:27572"), np.array([600_000.0]), np.array([2_200_000.0]))
    assert (lon[0], lat[0]) == pytest.approx((0, 46.8), abs=1e-9)


def test_places_are_moved_by_whole_turns_only_where_x_goes_round_the_earth() -> None:
    x = np.array([-179.0, 1.0, 359.0])
    assert turned(pyproj.CRS("EPSG:4326"), x, 181).tolist() == [181, 1, 359]
    assert turned(pyproj.CRS("EPSG:32648"), x, 181).tolist() == x.tolist()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('PROJECTION["Transverse_Mercator"]', 'PROJECTION["Nobody_Knows"]'),
        ('PROJECTION["Transverse_Mercator"]', 'PROJECTION["New_Zealand_Map_Grid_of_1899"]'),
        ("298.257223563", "0.5"),
        ('"scale_factor",0.9996', '"scale_factor",0'),
        ('"scale_factor",0.9996', '"scale_factor",-1e300'),
        ('"central_meridian",105', '"central_meridian",1e300'),
        ('UNIT["metre",1', 'UNIT["metre",1e-300'),
        ('UNIT["metre",1', 'UNIT["metre",0'),
        ('UNIT["degree",0.0174532925199433', 'UNIT["degree",0'),
    ],
)
def test_a_damaged_crs_is_refused_or_has_places_nowhere(old: str, new: str) -> None:
    wkt = pyproj.CRS("EPSG:32648").to_wkt("WKT1_GDAL")
    assert old in wkt
    try:
        crs = crs_from_wkt(wkt.replace(old, new))
    except InputRefused as refused:
        assert refused.faults[0].code == "unknown_crs"
    else:
        lonlat(crs, np.array([500_000.0]), np.array([2_500_000.0]))
        operation(crs, WGS84, GUANGXI).transformer.transform(500_000, 2_500_000)
