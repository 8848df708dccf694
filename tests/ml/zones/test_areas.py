"""Hectares of classes by zone, against geodesic polygons, and zones that tile a zone."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine
from shapely.geometry import MultiPolygon, Polygon

from ml.contract import MAP_NODATA
from ml.zones.areas import classes_by_zone, observed_ha
from ml.zones.inspect import InspectedZones, inspect_zones
from ml.zones.read import ZoneOptions, Zones
from tests.ml.conftest import write_scene
from tests.ml.labels.layers import geojson, geopackage

GEOD = pyproj.Geod(ellps="WGS84")
CODES = ZoneOptions(code_field="code")
UTM = Affine(10, 0, 700_000, 0, -10, 2_550_000)
ANY = MultiPolygon | Polygon


def write_zones(path: Path, geometries: Sequence[ANY], crs: str = "OGC:CRS84") -> Path:
    return geojson(path, [(each, {"code": f"z{number}"}) for number, each in enumerate(geometries)], crs)


def inspected(path: Path) -> InspectedZones:
    return inspect_zones(path, CODES, path.with_name("features.geojson"))


def measured(map_: Path, zones: Path) -> list[dict[int, float]]:
    """Hectares by class of each zone, {} for one outside the map."""
    by_code = classes_by_zone(map_, Zones(zones, CODES)).by_code
    return [by_code.get(each.code, {}) for each in inspected(zones).zones]


def map_of(path: Path, rows: int, cols: int, transform: Affine, crs: str, seed: int = 0) -> Path:
    """A map of four classes and of pixels that were not observed, in patches of 5 px."""
    rng = np.random.default_rng(seed)
    small = rng.choice([0, 1, 2, 7, MAP_NODATA], (-(-rows // 5), -(-cols // 5))).astype(np.uint8)
    pixels = np.kron(small, np.ones((5, 5), np.uint8))[:rows, :cols]
    blocks = {"tiled": True, "blockxsize": 256, "blockysize": 256}
    return write_scene(path, pixels[None], crs, transform, nodata=MAP_NODATA, **blocks)


def geodesic_ha(polygon: Polygon) -> float:
    return abs(GEOD.geometry_area_perimeter(shapely.segmentize(polygon, 0.0005))[0]) / 10_000


def counties_of(box: Polygon, number: int = 20) -> list[ANY]:
    """Polygons that tile a box, with the same corners on both sides of each border."""
    rng = np.random.default_rng(number)
    left, bottom, right, top = box.bounds
    points = rng.uniform((left, bottom), (right, top), (number, 2))
    cells = shapely.get_parts(shapely.voronoi_polygons(shapely.multipoints(points), extend_to=box))
    found: list[ANY] = shapely.intersection(cells, box).tolist()
    return found


@pytest.mark.parametrize(
    ("transform", "crs", "zones_in"),
    [
        (UTM, "EPSG:32648", "OGC:CRS84"),
        (UTM, "EPSG:32648", "EPSG:32648"),
        (UTM, "EPSG:32648", "EPSG:4490"),
        (Affine(1e-4, 0, 106.9, 0, -1e-4, 23.1), "EPSG:4326", "EPSG:32648"),
        (Affine(10, 3, 700_000, 3, -10, 2_550_000), "EPSG:32648", "OGC:CRS84"),
        (Affine(12, 0, 11_900_000, 0, -12, 2_650_000), "EPSG:3857", "OGC:CRS84"),
    ],
)
def test_counties_that_tile_a_province_have_its_hectares_to_the_square_metre(
    tmp_path: Path, transform: Affine, crs: str, zones_in: str
) -> None:
    rows, cols = 1300, 1500
    map_ = map_of(tmp_path / "map.tif", rows, cols, transform, crs)
    x, y = (np.array(each) for each in zip(transform @ (200, 1200), transform @ (1600, 100), strict=True))
    there = pyproj.Transformer.from_crs(crs, zones_in, always_xy=True)
    (left, right), (bottom, top) = there.transform(x, y)  # beyond the eastern edge of the map
    province = shapely.box(left, bottom, right, top)
    counties = write_zones(tmp_path / "counties.geojson", counties_of(province), zones_in)
    whole = write_zones(tmp_path / "province.geojson", [province], zones_in)
    total = Counter[int]()
    for each in measured(map_, counties):
        total.update(each)
    (expected,) = measured(map_, whole)
    assert dict(total) == pytest.approx(expected, abs=1e-4)
    own, of_whole = inspected(counties).report, inspected(whole).report
    assert own.area_ha == pytest.approx(of_whole.area_ha, abs=1e-4)
    assert (own.overlaps, own.overlap_ha, own.zones) == ((), 0, 20)
    assert 0 < sum(expected.values()) < of_whole.area_ha


def test_hectares_of_a_zone_are_those_of_its_geodesic_polygon(tmp_path: Path) -> None:
    map_ = map_of(tmp_path / "map.tif", 1300, 1500, UTM, "EPSG:32648")
    ring = shapely.box(106.98, 22.96, 107.06, 23.03).difference(shapely.box(107.0, 22.98, 107.01, 23.0))
    speck = shapely.box(107.02001, 23.00001, 107.02003, 23.00002)  # a fiftieth of a pixel
    zones = write_zones(tmp_path / "zones.geojson", [ring, speck])
    found = inspected(zones)
    for each, area_ha, polygon in zip(found.zones, measured(map_, zones), (ring, speck), strict=True):
        assert each.area_ha == pytest.approx(geodesic_ha(polygon), rel=1e-6)
        assert sum(area_ha.values()) == pytest.approx(each.area_ha, rel=1e-9)
        assert observed_ha(area_ha) == pytest.approx(each.area_ha - area_ha.get(MAP_NODATA, 0), rel=1e-9)


@pytest.mark.parametrize("crs", ["EPSG:32701", "EPSG:4326", "EPSG:4326 beyond 180"])
@pytest.mark.parametrize("cut", [False, True])
def test_zones_on_the_date_line(tmp_path: Path, crs: str, cut: bool) -> None:
    transform = Affine(10, 0, 177_000, 0, -10, 8_011_000)  # some kilometres on both sides of 180 degrees
    if crs != "EPSG:32701":
        transform = Affine(1e-4, 0, 179.95 if "beyond" in crs else -180.05, 0, -1e-4, -17.95)
    map_ = map_of(tmp_path / "map.tif", 1000, 1000, transform, crs.split()[0])
    continuous = shapely.box(179.97, -18.03, 180.03, -17.98)
    pieces = MultiPolygon([shapely.box(179.97, -18.03, 180, -17.98), shapely.box(-180, -18.03, -179.97, -17.98)])
    zones = write_zones(tmp_path / "zones.geojson", [pieces])
    if not cut:
        zones = geopackage(tmp_path / "zones.gpkg", [(continuous, {"code": "z0"})], crs=4326)
    (zone,), (area_ha,) = inspected(zones).zones, measured(map_, zones)
    assert zone.area_ha == pytest.approx(geodesic_ha(continuous), rel=1e-6)
    assert sum(area_ha.values()) == pytest.approx(zone.area_ha, rel=1e-9)
    written = json.loads((tmp_path / "features.geojson").read_text())["features"][0]
    assert written["geometry"]["type"] == "MultiPolygon"
    assert [shapely.geometry.shape(written["geometry"]).bounds[0::2]] == [pytest.approx((-180, 180))]


def test_zones_on_a_map_of_the_whole_earth(tmp_path: Path) -> None:
    map_ = map_of(tmp_path / "map.tif", 900, 1800, Affine(0.2, 0, -180, 0, -0.2, 90), "EPSG:4326")
    everything = write_zones(tmp_path / "everything.geojson", [shapely.box(-180, -90, 180, 90)])
    beyond = [shapely.box(170, -20, 190, 10), shapely.box(350, 0, 370, 10)]
    across = geopackage(tmp_path / "across.gpkg", [(each, {"code": str(each.bounds[0])}) for each in beyond], crs=4326)
    (whole,), parts = measured(map_, everything), measured(map_, across)
    assert sum(whole.values()) == pytest.approx(51_006_562_172.4, rel=1e-6)  # of WGS 84
    for zone, area_ha in zip(inspected(across).zones, parts, strict=True):
        assert sum(area_ha.values()) == pytest.approx(zone.area_ha, rel=1e-6)
    in_utm = write_zones(tmp_path / "utm.geojson", [shapely.box(400_000, 2_400_000, 600_000, 2_600_000)], "EPSG:32648")
    (zone,), (area_ha,) = inspected(in_utm).zones, measured(map_, in_utm)
    assert sum(area_ha.values()) == pytest.approx(zone.area_ha, rel=1e-5), "of 80 pixels"


def test_a_zone_partly_or_wholly_outside_the_map(tmp_path: Path) -> None:
    map_ = map_of(tmp_path / "map.tif", 300, 300, UTM, "EPSG:32648")
    half = shapely.box(699_000, 2_547_500, 701_000, 2_549_000)
    far, other_side = shapely.box(600_000, 2_500_000, 600_100, 2_500_100), shapely.box(-600_000, -3e6, -599_000, -2.9e6)
    found = measured(map_, write_zones(tmp_path / "zones.geojson", [half, far, other_side], "EPSG:32648"))
    assert sum(found[0].values()) == pytest.approx(150, rel=2e-3) and found[1:] == [{}, {}]


def test_classes_are_counted_apart(tmp_path: Path) -> None:
    pixels = np.repeat(np.array([0, 1, 2, 255], np.uint8), 25)[None, None].repeat(100, axis=1)
    map_ = write_scene(tmp_path / "map.tif", pixels, "EPSG:32648", UTM, nodata=255)
    zone = shapely.box(700_000, 2_549_000, 700_705, 2_550_000)  # 70.5 columns
    (found,) = measured(map_, write_zones(tmp_path / "zones.geojson", [zone], "EPSG:32648"))
    shares = {value: size / sum(found.values()) for value, size in found.items()}
    assert shares == pytest.approx({0: 25 / 70.5, 1: 25 / 70.5, 2: 20.5 / 70.5}, rel=1e-4)
