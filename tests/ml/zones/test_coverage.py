"""Shares of pixels that polygons cover, against GEOS, which intersects each pixel with the polygon."""

import numpy as np
import pytest
import shapely
from exactextract.exact_extract import exact_extract
from exactextract.raster import NumPyRasterSource
from shapely.geometry import MultiPolygon, Polygon

from ml.geo.windows import Window
from ml.zones.coverage import Outline, outline_of
from tests.rounds import ROUNDS

ROWS, COLS = 15, 12


def shares_of(outline: Outline, window: Window) -> np.ndarray:
    """The share of each pixel in a window that a zone covers."""
    places, differences = outline.steps(window)
    size = window.rows, window.cols + 1
    steps = np.bincount(places, differences, size[0] * size[1]).reshape(size)
    return np.cumsum(steps, axis=1)[:, :-1]


def by_geos(polygon: Polygon | MultiPolygon, window: Window) -> np.ndarray:
    cols, rows = np.meshgrid(window.col + np.arange(window.cols), window.row + np.arange(window.rows))
    pixels = shapely.box(cols, rows, cols + 1, rows + 1)
    return np.asarray(shapely.area(shapely.intersection(pixels, polygon)))


def some_polygon(seed: int) -> Polygon | MultiPolygon:
    """A polygon of any form, often with holes or several parts, which runs beyond the window on some sides."""
    rng = np.random.default_rng(seed)
    pieces = [
        shapely.concave_hull(shapely.multipoints(rng.uniform(-8, 25, (30, 2)) * rng.uniform(0.2, 1, 2)), 0.3)
        for _ in range(3)
    ]
    found: Polygon | MultiPolygon = shapely.orient_polygons(
        shapely.difference(shapely.union_all(pieces[:2]), pieces[2])
    )
    return found


@pytest.mark.parametrize("seed", range(30 * ROUNDS))
def test_shares_are_those_that_geos_finds(seed: int) -> None:
    polygon, window = some_polygon(seed), Window(2, 3, ROWS, COLS)
    found = shares_of(outline_of([polygon]), window)
    assert found == pytest.approx(by_geos(polygon, window), abs=1e-12)
    mirrored = shapely.orient_polygons(shapely.transform(polygon, lambda xy: xy * (-1, 1) + (20, 0)))
    found = shares_of(outline_of([mirrored]), window)
    assert found == pytest.approx(by_geos(mirrored, window), abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_sums_are_those_of_exactextract(seed: int) -> None:
    """exactextract keeps shares in four bytes each, so its sums are exact to some 1e-7."""
    polygon = some_polygon(seed)
    values = np.random.default_rng(seed).uniform(1, 2, (20, 20))
    raster = NumPyRasterSource(values, xmin=0, ymin=0, xmax=20, ymax=20)
    upright = shapely.transform(polygon, lambda xy: xy * (1, -1) + (0, 20))  # rows of rasters run down
    feature = {"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(upright)}
    expected = exact_extract(raster, [feature], ["sum", "count"])[0]["properties"]
    shares = shares_of(outline_of([polygon]), Window(0, 0, 20, 20))
    assert (shares * values).sum() == pytest.approx(expected["sum"], rel=1e-6)
    assert shares.sum() == pytest.approx(expected["count"], rel=1e-6)


def test_windows_inside_and_outside_a_zone() -> None:
    outline = outline_of([shapely.box(-100, -100, 200, 200).difference(shapely.box(50, 50, 60, 60))])
    assert shares_of(outline, Window(0, 0, 10, 10)) == pytest.approx(np.ones((10, 10)), abs=1e-12)
    assert shares_of(outline, Window(52, 52, 5, 5)) == pytest.approx(np.zeros((5, 5)), abs=1e-12)
    assert shares_of(outline, Window(45, 45, 10, 10)).sum() == pytest.approx(75)
    assert outline.touches(Window(190, 0, 20, 20)) and not outline.touches(Window(200, 0, 20, 20))


def test_edges_between_pixels_and_slivers_of_a_pixel_are_exact() -> None:
    shares = shares_of(outline_of([shapely.box(2, 3, 5, 7)]), Window(0, 0, 10, 10))
    assert shares[3:7, 2:5] == pytest.approx(np.ones((4, 3))) and shares.sum() == pytest.approx(12)
    sliver = shares_of(outline_of([shapely.box(4.25, 4.5, 4.5, 4.625)]), Window(0, 0, 10, 10))
    assert sliver[4, 4] == pytest.approx(0.25 * 0.125) == sliver.sum()
