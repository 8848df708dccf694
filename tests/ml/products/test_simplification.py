"""Simplified polygons: neighbours share their borders, nothing is lost, and hectares are those of the pixels."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from pyogrio.raw import read
from pyproj import Transformer

from ml.contract import BINARY, ClassDef
from ml.geo.areas import pixel_frame_m
from ml.geo.grid import grid_of
from ml.geo.raster import open_raster
from ml.products import simplification as module
from ml.products.polygon_files import write_polygons
from ml.products.polygons import patches
from ml.products.simplification import simplification
from ml.products.write import class_areas_ha
from tests.ml.conftest import GRID, MakeScene, write_scene
from tests.ml.products.test_polygons import number_written

THREE = tuple(ClassDef(value=value, name=f"class {value}") for value in range(3))
DEGREES = Affine(1e-4, 0, 108, 0, -1e-4, 23)
TURNED = Affine(8, 3, 500_000, 2, -9, 1_200_000)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many blocks in small maps, so that outlines cross their borders."""
    monkeypatch.setattr(module, "_BLOCK_PX", 32)


def class_map(classes: int, noise: float = 0.02, size: int = 100, seed: int = 0) -> np.ndarray:
    """Round patches of some classes, a share of noise, and a corner without data: shape (1, size, size), uint8."""
    random = np.random.default_rng(seed)
    rows, cols = np.mgrid[:size, :size]
    waves = np.sin(rows / 9 + random.uniform(0, 6)) + np.cos(cols / 7 + rows / 31 + random.uniform(0, 6))
    values = np.digitize(waves, np.linspace(-2, 2, classes + 1)[1:-1]).astype(np.uint8)
    noisy = random.random(values.shape) < noise
    values[noisy] = random.integers(0, classes, noisy.sum())
    values[: size // 5, : size // 3] = 255
    return np.asarray(values[None])


def both(path: Path, values: Sequence[int], simplify_m: float) -> tuple[np.ndarray, np.ndarray]:
    """The exact and the simplified outlines of all patches of a map."""
    with simplification(path, values, simplify_m) as simplify:
        pairs = [(some.geometries, simplify(some.geometries)) for some in patches(path, values)]
    exact, simplified = zip(*pairs, strict=True)
    return np.concatenate(exact), np.concatenate(simplified)


def number_of_corners(geometries: np.ndarray) -> int:
    return int(shapely.get_num_coordinates(geometries).sum())


@pytest.mark.parametrize("transform", [GRID, TURNED])
@pytest.mark.parametrize("noise", [0.0, 0.02, 0.4])
def test_neighbours_have_no_gaps_and_no_overlaps(make_scene: MakeScene, noise: float, transform: Affine) -> None:
    path = make_scene(class_map(3, noise), nodata=255, transform=transform)
    exact, simplified = both(path, [0, 1, 2], 20)
    assert shapely.is_valid(simplified).all()
    assert shapely.coverage_is_valid(simplified)
    assert shapely.area(simplified).sum() == pytest.approx(shapely.area(exact).sum(), rel=0.01)
    assert number_of_corners(simplified) < number_of_corners(exact) * (0.95 if noise > 0.1 else 0.6)
    assert not list(path.parent.glob("*.corners"))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.sampled_from([5, 12, 30, 500]))
def test_any_map_stays_a_valid_coverage(
    tmp_path_factory: pytest.TempPathFactory, seed: int, noise: float, m: float
) -> None:
    path = tmp_path_factory.mktemp("map") / "map.tif"
    write_scene(path, class_map(3, noise, 40, seed), nodata=255)
    exact, simplified = both(path, [0, 1, 2], m)
    assert shapely.is_valid(simplified).all() and shapely.coverage_is_valid(simplified)
    assert (shapely.get_num_interior_rings(simplified) == shapely.get_num_interior_rings(exact)).all()


def test_outlines_follow_those_of_the_pixels(make_scene: MakeScene) -> None:
    exact, simplified = both(make_scene(class_map(2, 0), nodata=255), [1], 20)
    apart = shapely.hausdorff_distance(shapely.union_all(exact).boundary, shapely.union_all(simplified).boundary)
    assert 0 < apart <= 20


def test_a_straight_slope_becomes_straight(make_scene: MakeScene) -> None:
    below = np.tri(100, dtype=np.uint8)[None]
    _, (simplified,) = both(make_scene(below, nodata=255), [1], 10)
    # the three corners of the triangle, and where a block ends: there is nothing else in it than stairs
    assert number_of_corners(simplified) < 40
    assert simplified.length < 1.02 * (1000 + 1000 + 2**0.5 * 1000)


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32648", GRID),
        ("EPSG:4326", DEGREES),
        ("EPSG:4326", Affine(1e-4, 0, 20, 0, -1e-4, 70)),  # a degree of longitude is a third as long as one of latitude
        ("EPSG:3857", Affine(30, 0, 2_000_000, 0, -30, 11_000_000)),  # 10 m on the ground
        ("EPSG:2225", Affine(30, 0, 6_500_000, 0, -30, 2_000_000)),  # feet
    ],
)
def test_metres_are_metres_on_the_ground_in_any_crs(make_scene: MakeScene, crs: str, transform: Affine) -> None:
    values = np.zeros((1, 64, 64), np.uint8)
    values[0, 5:25, 5:25] = 1
    values[0, 25, 9] = 1  # a bump of one pixel: two triangles of half a pixel
    path = make_scene(values, crs=crs, transform=transform, nodata=255)
    with open_raster(path) as dataset:
        pixel_m2 = abs(np.linalg.det(pixel_frame_m(grid_of(dataset), 25, 9)))
    assert class_areas_ha(path)[1] == pytest.approx(401 * pixel_m2 / 1e4, rel=1e-3)
    step_m = np.sqrt(pixel_m2 / 2)
    bumpy, plain = (number_of_corners(both(path, [1], factor * step_m)[1]) for factor in (0.98, 1.02))
    assert (bumpy, plain) == (9, 5)


def written(
    path: Path, folder: Path, min_area_ha: float = 0, simplify_m: float | None = 20
) -> tuple[np.ndarray, np.ndarray]:
    """What GDAL reads in both files: the outlines in degrees and those in the CRS of the map, and `area_ha`."""
    files = folder / "a.geojson", folder / "a.gpkg"
    number = number_written(path, THREE, *files, min_area_ha=min_area_ha, simplify_m=simplify_m)
    tables = [read(files[0]), read(files[1], layer="classes")]
    assert [len(wkb) for _, _, wkb, _ in tables] == [number, number]
    area_ha = [columns[list(meta["fields"]).index("area_ha")] for meta, _, _, columns in tables]
    assert area_ha[0] == pytest.approx(area_ha[1], abs=1e-6)
    outlines = [shapely.from_wkb(wkb) for _, _, wkb, _ in tables]
    assert all(shapely.is_valid(each).all() for each in outlines)
    assert all(shapely.coverage_is_valid(each) for each in outlines)
    return np.array(outlines), area_ha[1]


@pytest.mark.parametrize(("crs", "transform"), [("EPSG:32648", GRID), ("EPSG:4326", DEGREES)])
def test_hectares_are_those_of_the_pixels(make_scene: MakeScene, tmp_path: Path, crs: str, transform: Affine) -> None:
    path = make_scene(class_map(3), nodata=255, crs=crs, transform=transform)
    (in_degrees, in_crs), area_ha = written(path, tmp_path)
    mapped = class_areas_ha(path)
    assert area_ha.sum() == pytest.approx(sum(mapped[value] for value in range(3)), rel=1e-6)
    _, exact_ha = written_exactly(path, tmp_path)
    assert area_ha.tolist() == exact_ha
    to_degrees = Transformer.from_crs(crs, "OGC:CRS84", always_xy=True)
    moved = shapely.transform(in_crs, to_degrees.transform, interleaved=False)
    apart = shapely.area(shapely.symmetric_difference(moved, in_degrees)).sum()
    assert apart < 1e-3 * shapely.area(in_degrees).sum()  # degrees are rounded to a centimetre


def written_exactly(path: Path, folder: Path) -> tuple[list[object], list[float]]:
    geojson = folder / "exact.geojson"
    write_polygons(path, THREE, geojson, folder / "exact.gpkg", min_area_ha=0)
    _, _, outlines, columns = read(folder / "exact.gpkg", layer="classes")
    return list(outlines), columns[2].tolist()


def test_small_patches_are_left_out_by_the_hectares_of_their_pixels(make_scene: MakeScene, tmp_path: Path) -> None:
    path = make_scene(class_map(3), nodata=255)
    everything, area_ha = written(path, tmp_path)
    large, large_ha = written(path, tmp_path, min_area_ha=0.05)
    assert large_ha.tolist() == area_ha[area_ha >= 0.05].tolist()
    assert len(large_ha) < len(area_ha)
    assert large[1].tolist() == everything[1][area_ha >= 0.05].tolist()


def test_a_map_without_the_class_or_full_of_it_is_no_special_case(make_scene: MakeScene, tmp_path: Path) -> None:
    for value, polygons in ((0, 0), (1, 1)):
        path = make_scene(np.full((1, 70, 70), value, np.uint8), nodata=255)
        files = tmp_path / "a.geojson", tmp_path / "a.gpkg"
        assert number_written(path, BINARY, *files, min_area_ha=0, simplify_m=20) == polygons
        assert len(json.loads(files[0].read_text())["features"]) == polygons


def test_the_blocks_change_little(make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_scene(class_map(2, 0), nodata=255)
    _, in_blocks = both(path, [1], 20)
    monkeypatch.setattr(module, "_BLOCK_PX", 512)
    _, whole = both(path, [1], 20)
    difference = shapely.symmetric_difference(shapely.union_all(in_blocks), shapely.union_all(whole)).area
    assert difference < 0.03 * shapely.union_all(whole).area
    assert number_of_corners(in_blocks) < 2 * number_of_corners(whole)
