"""Mosaics of maps, against a composition of whole rasters that GDAL has warped, by the rule written out in numpy."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.enums import Resampling
from rasterio.warp import reproject

from ml.contract import MAP_NODATA, ClassDef
from ml.faults import InputRefused
from ml.geo.grid import Grid
from ml.surveys.mosaic import NOBODY, UNOBSERVED, Mosaic, make_mosaic
from ml.surveys.order import Rule, SurveyMap
from ml.surveys.target import target_grid
from ml.zones.areas import classes_by_zone
from ml.zones.read import ZoneOptions, Zones
from tests.ml.conftest import write_scene
from tests.ml.labels.layers import geojson

CLASSES = (ClassDef(value=0, name="other"), ClassDef(value=1, name="sugarcane"))
GEOD = pyproj.Geod(ellps="WGS84")
WEST, EAST = "EPSG:32648", "EPSG:32649"
# both touch 108 degrees east, where the two zones of UTM meet
IN_WEST, IN_EAST = Affine(10, 0, 803_000, 0, -10, 2_550_000), Affine(10, 0, 191_500, 0, -10, 2_549_000)


def pixels(seed: int, rows: int = 200, cols: int = 240, clouds: float = 0.2) -> np.ndarray:
    """A map in patches of 8 pixels, of which some are clouds."""
    rng = np.random.default_rng(seed)
    share = (1 - clouds) / 2
    small = rng.choice([0, 1, MAP_NODATA], (rows // 8 + 1, cols // 8 + 1), p=[share, share, clouds]).astype(np.uint8)
    return np.kron(small, np.ones((8, 8), np.uint8))[:rows, :cols]


def survey_map(
    folder: Path, number: int, image: np.ndarray, crs: str = WEST, transform: Affine = IN_WEST, day: int | None = 1
) -> SurveyMap:
    path = write_scene(folder / f"m{number}.tif", image[None], crs, transform, nodata=MAP_NODATA)
    acquired = datetime(2024, 10, day, tzinfo=UTC) if day else None
    return SurveyMap(f"m{number}", path, acquired, float((image != MAP_NODATA).mean()))


@pytest.fixture
def maps(tmp_path: Path) -> list[SurveyMap]:
    """Four maps that overlap: three in one zone of UTM on one grid, and one in the next zone, with pixels of 8 m."""
    moved = IN_WEST @ Affine.translation(120, 70)
    return [
        survey_map(tmp_path, 1, pixels(1), day=3),
        survey_map(tmp_path, 2, pixels(2, clouds=0.05), transform=moved, day=1),
        survey_map(tmp_path, 3, pixels(3, clouds=0.5), transform=moved, day=7),
        survey_map(tmp_path, 4, pixels(4), EAST, IN_EAST @ Affine.scale(0.8), day=5),
    ]


def warped(each: SurveyMap, crs: str, transform: Affine, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A whole map on a grid, and where it lies, without any windows and with exact places."""
    with rasterio.open(each.path) as source:
        known = {"src_transform": source.transform, "src_crs": source.crs, "dst_transform": transform, "dst_crs": crs}
        found = []
        for image in (source.read(1), np.ones(source.shape, np.uint8)):
            target = np.zeros(shape, np.uint8)
            reproject(image, target, **known, resampling=Resampling.nearest, tolerance=0, init_dest_nodata=False)
            found.append(target)
    return found[0], found[1] == 1


def read(folder: Path, name: str) -> tuple[np.ndarray, Affine, str]:
    with rasterio.open(folder / name) as file:
        return file.read(1), file.transform, file.crs.to_string()


def composed(maps: Sequence[SurveyMap], order: Sequence[int], folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Classes and sources by the rule: painted from the last of the order to the first."""
    mosaic, transform, crs = read(folder, "mosaic.tif")
    classes, sources = np.full(mosaic.shape, MAP_NODATA, np.uint8), np.full(mosaic.shape, NOBODY, np.uint16)
    layers = [warped(each, crs, transform, mosaic.shape) for each in maps]
    for _, inside in layers:
        sources[inside] = UNOBSERVED
    for number in reversed(order):
        values, inside = layers[number]
        seen = inside & (values != MAP_NODATA)
        classes[seen], sources[seen] = values[seen], number + 1
    return classes, sources


@pytest.mark.parametrize(
    ("rule", "order"), [("newest", [2, 3, 0, 1]), ("best", [1, 0, 3, 2]), ("priority", [0, 1, 2, 3])]
)
def test_each_pixel_comes_from_the_first_map_by_the_rule_that_has_observed_it(
    tmp_path: Path, maps: list[SurveyMap], rule: Rule, order: list[int]
) -> None:
    if rule == "best":
        maps[0], maps[3] = (
            SurveyMap(each.name, each.path, each.acquired, share) for each, share in ((maps[0], 0.81), (maps[3], 0.8))
        )
    found = make_mosaic(maps, rule, CLASSES, tmp_path)
    classes, sources = composed(maps, order, tmp_path)
    np.testing.assert_array_equal(read(tmp_path, "mosaic.tif")[0], classes)
    np.testing.assert_array_equal(read(tmp_path, "sources.tif")[0], sources)
    assert [each.pixels for each in found.scenes] == [(sources == number).sum() for number in (1, 2, 3, 4)]
    assert (sources == UNOBSERVED).any() and (sources == NOBODY).any() and found.crs == WEST


def counted_ha(folder: Path, value: int) -> float:
    """Hectares of the pixels of a value in the mosaic, each as a geodesic polygon."""
    classes, transform, crs = read(folder, "mosaic.tif")
    there = np.argwhere((classes == value) & (read(folder, "sources.tif")[0] != NOBODY))
    to_degrees = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    total = 0.0
    for row, col in there.tolist():
        corners = [transform @ place for place in ((col, row), (col, row + 1), (col + 1, row + 1), (col + 1, row))]
        lon, lat = to_degrees.transform(*np.array(corners).T)
        total += abs(GEOD.polygon_area_perimeter(lon, lat)[0]) / 10_000
    return total


def test_hectares_are_those_of_the_pixels_on_the_ellipsoid_and_each_counts_once(
    tmp_path: Path, maps: list[SurveyMap]
) -> None:
    found = make_mosaic(maps, "newest", CLASSES, tmp_path, resolution_m=40)
    for value in (0, 1):
        assert found.area_ha[value] == pytest.approx(counted_ha(tmp_path, value), rel=1e-7)
    assert found.unobserved_ha == pytest.approx(counted_ha(tmp_path, MAP_NODATA), rel=1e-7)
    assert found.observed_ha == pytest.approx(sum(each.area_ha for each in found.scenes), rel=1e-12)


def test_two_zones_of_utm_have_the_hectares_of_their_fields_in_either_crs(tmp_path: Path) -> None:
    """A field on both sides of the border of two zones, drawn into a scene of each, has its geodesic area once."""
    field = shapely.box(107.97, 23.0, 108.03, 23.04)
    true_ha = abs(GEOD.geometry_area_perimeter(shapely.segmentize(field, 0.001))[0]) / 10_000
    drawn = []
    for number, (crs, left) in enumerate(((WEST, 798_000), (EAST, 190_000))):
        transform = Affine(20, 0, left, 0, -20, 2_555_000)
        cols, rows = np.meshgrid(np.arange(600) + 0.5, np.arange(500) + 0.5)
        to_degrees = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
        lon, lat = to_degrees.transform(*(transform @ (cols, rows)))
        inside = shapely.contains_xy(field, lon.ravel(), lat.ravel()).reshape(lon.shape)
        drawn.append(survey_map(tmp_path, number, inside.astype(np.uint8), crs, transform))
    for chosen in (None, pyproj.CRS(EAST), pyproj.CRS("EPSG:6933"), pyproj.CRS("EPSG:4326")):
        found = make_mosaic(drawn, "priority", CLASSES, tmp_path, crs=chosen)
        assert found.area_ha[1] == pytest.approx(true_ha, rel=2e-3)
        assert len(found.scenes) == 2 and all(each.pixels for each in found.scenes)


def test_zones_that_tile_the_mosaic_have_its_hectares_to_the_square_metre(
    tmp_path: Path, maps: list[SurveyMap]
) -> None:
    found = make_mosaic(maps, "newest", CLASSES, tmp_path)
    left, bottom, right, top = rasterio.open(tmp_path / "mosaic.tif").bounds
    rng = np.random.default_rng(0)
    points = shapely.multipoints(rng.uniform((left, bottom), (right, top), (20, 2)))
    cells = shapely.intersection(
        shapely.get_parts(shapely.voronoi_polygons(points, extend_to=shapely.box(left, bottom, right, top))),
        shapely.box(left, bottom, right, top),
    )
    layer = geojson(tmp_path / "z.geojson", [(cell, {"code": str(n)}) for n, cell in enumerate(cells)], WEST)
    by_zone = classes_by_zone(tmp_path / "mosaic.tif", Zones(layer, ZoneOptions(code_field="code"))).by_code
    for value in (0, 1):
        assert sum(each.get(value, 0) for each in by_zone.values()) == pytest.approx(found.area_ha[value], abs=1e-4)


def test_maps_on_one_grid_are_copied_and_gaps_between_them_belong_to_nobody(tmp_path: Path) -> None:
    far = IN_WEST @ Affine.translation(3000, 0)
    one, other = pixels(5), pixels(6)
    given = [survey_map(tmp_path, 1, one), survey_map(tmp_path, 2, other, transform=far)]
    found = make_mosaic(given, "newest", CLASSES, tmp_path)
    mosaic, transform, _ = read(tmp_path, "mosaic.tif")
    assert (transform, mosaic.shape) == (IN_WEST, (200, 3240))
    np.testing.assert_array_equal(mosaic[:, :240], one)
    np.testing.assert_array_equal(mosaic[:, 3000:], other)
    assert (read(tmp_path, "sources.tif")[0][:, 240:3000] == NOBODY).all()
    assert (found.rows, found.cols) == mosaic.shape


def test_a_mosaic_of_places_far_apart_is_refused_before_it_is_made(tmp_path: Path) -> None:
    far = Affine(1, 0, 803_000, 0, -1, 9_000_000)
    near = [survey_map(tmp_path, 1, pixels(1)), survey_map(tmp_path, 2, pixels(2), transform=far)]
    with pytest.raises(InputRefused, match="pixels, over"):
        make_mosaic(near, "newest", CLASSES, tmp_path, resolution_m=0.01)


def test_a_large_mosaic_that_would_be_empty_nearly_everywhere_is_refused() -> None:
    def maps(apart_px: int, size: int) -> list[Grid]:
        places = [IN_WEST, IN_WEST @ Affine.translation(apart_px, apart_px)]
        return [Grid(size, size, place, pyproj.CRS(WEST)) for place in places]

    with pytest.raises(InputRefused, match="on less than 1 %"):
        target_grid(maps(101_000, 64))
    assert target_grid(maps(101_000, 10_000)).rows == 111_000, "maps lie on 2 % of it"
    assert target_grid(maps(50_000, 64)).rows == 50_064, "written in minutes"


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857"])
def test_a_map_that_the_edge_of_a_crs_would_tear_is_refused(crs: str) -> None:
    on_the_date_line = Grid(900, 1200, Affine(10, 0, 380_000, 0, -10, 7_800_000), pyproj.CRS("EPSG:32601"))
    with pytest.raises(InputRefused, match="would be torn"):
        target_grid([on_the_date_line], pyproj.CRS(crs))
    near_it = replace(on_the_date_line, transform=Affine(10, 0, 420_000, 0, -10, 7_800_000))
    assert target_grid([near_it], pyproj.CRS(crs)).cols < 10_000


def test_the_grid_is_in_the_commonest_crs_and_keeps_the_pixels_of_its_first_map() -> None:
    def grid(crs: str, left: float, side: float) -> Grid:
        return Grid(100, 100, Affine(side, 0, left, 0, -side, 2_550_003), pyproj.CRS(crs))

    found = target_grid([grid(WEST, 803_000, 10), grid(EAST, 191_501, 7), grid(EAST, 192_001, 9)])
    assert (found.crs, found.transform.a, (found.transform.c - 191_501) % 7) == (pyproj.CRS(EAST), 7, 0)
    chosen = target_grid([grid(WEST, 803_000, 10)], resolution_m=25)
    assert (chosen.transform.a, chosen.transform.c % 25, chosen.transform.f % 25) == (25, 0, 0)


def test_what_is_written_names_the_software(tmp_path: Path, maps: list[SurveyMap]) -> None:
    found = make_mosaic(maps, "newest", CLASSES, tmp_path)
    assert "canemap" in found.software and Mosaic.model_validate_json(found.model_dump_json()) == found
