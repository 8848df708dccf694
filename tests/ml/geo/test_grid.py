"""Where a grid lies on the Earth, also at the date line and around a pole."""

import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine

from ml.geo.grid import Grid, far_apart

GEOD = pyproj.Geod(ellps="WGS84")


def grid(crs: str, transform: Affine, rows: int = 64, cols: int = 64) -> Grid:
    return Grid(rows, cols, transform, pyproj.CRS(crs))


def test_a_grid_in_utm_across_the_date_line_has_a_box_of_a_few_hundred_metres() -> None:
    across = grid("EPSG:32701", Affine(10, 0, 179_970, 0, -10, 8_134_930))
    west, _, east, _ = across.bbox()
    assert [west, east] == pytest.approx([179.997, -179.997], abs=1e-3)
    footprint = shapely.geometry.shape(across.footprint())
    assert footprint.geom_type == "MultiPolygon" and footprint.is_valid
    area_m2 = sum(abs(GEOD.geometry_area_perimeter(piece)[0]) for piece in footprint.geoms)
    assert area_m2 == pytest.approx(640**2, rel=2e-3)
    assert all(-180 <= x <= 180 for piece in footprint.geoms for x, _ in piece.exterior.coords)


@pytest.mark.parametrize("west", [190.0, -170.0, 550.0 - 360])
def test_longitudes_beyond_180_are_the_same_place_on_the_other_side(west: float) -> None:
    box = grid("EPSG:4326", Affine(1e-4, 0, west, 0, -1e-4, -16)).bbox()
    assert box == pytest.approx((-170, -16.0064, -169.9936, -16))


@pytest.mark.parametrize(("crs", "pole"), [("EPSG:3413", 90.0), ("EPSG:3031", -90.0)])
def test_a_grid_around_a_pole_has_all_longitudes_up_to_the_pole(crs: str, pole: float) -> None:
    around = grid(crs, Affine(10_000, 0, -300_000, 0, -10_000, 350_000))
    west, south, east, north = around.bbox()
    assert (west, east) == (-180, 180) and (north if pole > 0 else south) == pole
    footprint = shapely.geometry.shape(around.footprint())
    assert footprint.is_valid and footprint.contains(shapely.box(13, pole * 0.999, 13.1, pole * 0.9991))
    area_m2 = abs(GEOD.geometry_area_perimeter(shapely.segmentize(footprint, 0.5))[0])
    outline = grid(crs, around.transform)
    lon, lat = outline.operation.transformer.transform(*outline.outline().T)
    assert area_m2 == pytest.approx(abs(GEOD.polygon_area_perimeter(lon, lat)[0]), rel=0.05)


def test_a_grid_beside_a_pole_does_not_reach_it() -> None:
    beside = grid("EPSG:3413", Affine(1000, 0, 50_000, 0, -1000, 350_000))
    assert beside.pole is None and beside.bbox()[3] < 90


@pytest.mark.parametrize(
    ("crs", "place"), [("EPSG:4807", (0.0, 52.0)), ("EPSG:4805", (34.0, 48.0)), ("EPSG:4275", (2.0, 46.0))]
)
def test_a_grid_on_any_prime_meridian_and_unit_lies_where_proj_puts_it(crs: str, place: tuple[float, float]) -> None:
    somewhere = grid(crs, Affine(1e-4, 0, place[0], 0, -1e-4, place[1]))
    west, _, _, north = somewhere.bbox()
    lon, lat = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(*place)
    assert [west, north] == pytest.approx([lon, lat], abs=2e-4)
    assert not far_apart(somewhere.bbox(), (lon - 1, lat - 1, lon + 1, lat + 1))


def test_the_operation_of_a_grid_is_the_one_for_its_place() -> None:
    pearl_river = grid("EPSG:4214", Affine(1e-4, 0, 113, 0, -1e-4, 22.5))
    assert pearl_river.operation.accuracy_m == 15
    assert np.isfinite(pearl_river.outline_wgs84).all()


def test_a_satellite_that_cannot_see_the_poles_has_none() -> None:
    assert grid("+proj=geos +h=35785831 +sweep=x", Affine(20_000, 0, -640_000, 0, -20_000, 640_000)).pole is None
