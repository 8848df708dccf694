from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import Transformer
from shapely.geometry import Polygon

from ml.faults import InputRefused
from ml.geo.crs import to_wgs84
from ml.geo.grid import grid_of
from ml.geo.raster import open_raster
from ml.labels.classes import LabelOptions
from ml.labels.rasterise import RasteriseReport, rasterise
from tests.ml.conftest import GRID, MakeScene
from tests.ml.labels.layers import geojson, square

ROWS, COLS = 80, 100
CANE = LabelOptions(class_field="v", background=0)
SPARSE = LabelOptions(class_field="v")


@pytest.fixture
def scene(make_scene: MakeScene) -> Path:
    return make_scene(np.ones((1, ROWS, COLS), dtype=np.uint8))


def rasterised(labels: list[tuple[Path, LabelOptions]], scene: Path) -> tuple[np.ndarray, RasteriseReport]:
    out = scene.with_name("mask.tif")
    report = rasterise(labels, scene, out)
    with open_raster(out) as mask, open_raster(scene) as like:
        assert (mask.shape, mask.transform, mask.crs) == (like.shape, like.transform, like.crs)
        assert mask.nodata == 255 and mask.dtypes == ("uint8",)
        values: np.ndarray = mask.read(1)
    assert report.counts == {int(v): int((values == v).sum()) for v in np.unique(values)}
    return values, report


def test_a_polygon_fills_exactly_its_pixels(tmp_path: Path, scene: Path) -> None:
    path = geojson(tmp_path / "x", [(square(10, 20), {"v": 1})])
    mask, report = rasterised([(path, CANE)], scene)
    expected = np.zeros((ROWS, COLS), dtype=np.uint8)
    expected[20:30, 10:20] = 1
    assert (mask == expected).all() and report.labelled and report.overlaps == ()
    expected[expected == 0] = 255
    assert (rasterised([(path, SPARSE)], scene)[0] == expected).all()


@pytest.mark.parametrize("transform", [GRID, GRID @ Affine.rotation(20) @ Affine.shear(10), GRID @ Affine.scale(1, -1)])
def test_a_pixel_belongs_to_the_polygon_that_contains_its_centre(
    tmp_path: Path, make_scene: MakeScene, transform: Affine
) -> None:
    scene = make_scene(np.ones((1, ROWS, COLS), dtype=np.uint8), transform=transform)
    with open_raster(scene) as dataset:
        grid = grid_of(dataset)
    random = np.random.default_rng(0)
    middle = np.array(grid.xy(np.array(COLS / 2), np.array(ROWS / 2)))
    angles = np.sort(random.random(40)) * 2 * np.pi
    star = Polygon(middle + 300 * (0.3 + random.random((40, 1))) * np.column_stack([np.cos(angles), np.sin(angles)]))
    mask, _ = rasterised([(geojson(tmp_path / "x", [(star, {"v": 1})]), CANE)], scene)
    cols, rows = np.meshgrid(np.arange(COLS) + 0.5, np.arange(ROWS) + 0.5)
    assert (mask == shapely.contains_xy(star, *grid.xy(cols, rows))).all()


def test_polygons_in_degrees_are_reprojected_to_the_scene(tmp_path: Path, scene: Path) -> None:
    to_degrees = Transformer.from_crs("EPSG:32648", "OGC:CRS84", always_xy=True)
    field = shapely.transform(square(10, 20), lambda xy: np.column_stack(to_degrees.transform(*xy.T)))
    mask, _ = rasterised([(geojson(tmp_path / "x", [(field, {"v": 1})], crs=None), CANE)], scene)
    assert (mask[20:30, 10:20] == 1).all() and (mask == 1).sum() == 100


def test_long_edges_are_reprojected_as_curves(tmp_path: Path, make_scene: MakeScene) -> None:
    """A parallel is a curve in UTM: far from the central meridian, a straight edge would be wrong by several pixels."""
    scene = make_scene(np.ones((1, 400, 4000), dtype=np.uint8), transform=Affine(50, 0, 700_000, 0, -50, 4_000_000))
    half = Polygon([(100, 36.05), (115, 36.05), (115, 40), (100, 40)])
    mask, _ = rasterised([(geojson(tmp_path / "x", [(half, {"v": 1})], crs=None), CANE)], scene)
    with open_raster(scene) as dataset:
        grid = grid_of(dataset)
    cols, rows = np.meshgrid(np.arange(4000) + 0.5, np.arange(400) + 0.5)
    _, lat = to_wgs84(grid.crs).transform(*grid.xy(cols, rows))
    assert ((lat > 36.05) != (mask == 1)).sum() < 50


def test_later_polygons_and_later_layers_replace_earlier_ones(tmp_path: Path, scene: Path) -> None:
    first = geojson(tmp_path / "a", [(square(0, 0), {"v": 1}), (square(9, 0), {"v": 2})])
    second = geojson(tmp_path / "b", [(square(5, 5), {"v": 3})])
    mask, report = rasterised([(first, SPARSE), (second, SPARSE)], scene)
    assert (mask[0, 8], mask[0, 9], mask[5, 5], mask[60, 60]) == (1, 2, 3, 255)
    (note,) = report.overlaps
    assert note.code == "overlapping_layers" and " 50 " in note.detail


def test_background_fills_only_scenes_that_the_layer_touches(tmp_path: Path, scene: Path) -> None:
    far = geojson(tmp_path / "x", [(square(10_000, 0), {"v": 1})])
    mask, report = rasterised([(far, CANE)], scene)
    assert (mask == 255).all() and not report.labelled


def test_a_polygon_of_class_255_is_unlabelled_and_not_background(tmp_path: Path, scene: Path) -> None:
    path = geojson(tmp_path / "x", [(square(0, 0, 40), {"v": 1}), (square(10, 10), {"v": 255})])
    mask, _ = rasterised([(path, CANE)], scene)
    assert (mask[10:20, 10:20] == 255).all() and mask[70, 70] == 0 and mask[0, 0] == 1


def test_a_mask_on_the_same_grid_is_copied_unchanged(make_scene: MakeScene, scene: Path) -> None:
    values = np.random.default_rng(0).choice(np.array([0, 1, 255], dtype=np.uint8), (1, ROWS, COLS))
    mask, _ = rasterised([(make_scene(values, "labels.tif"), LabelOptions())], scene)
    assert (mask == values[0]).all()


def test_a_mask_may_cover_more_or_less_than_the_scene(make_scene: MakeScene, scene: Path) -> None:
    values = np.random.default_rng(0).integers(0, 2, (1, 50, 50), dtype=np.uint8)
    labels = make_scene(values, "labels.tif", transform=GRID @ Affine.translation(70, -20))
    mask, _ = rasterised([(labels, LabelOptions())], scene)
    assert (mask[:30, 70:] == values[0, 20:, :30]).all()
    assert (mask[30:] == 255).all() and (mask[:, :70] == 255).all()


def test_a_mask_in_another_crs_is_resampled_to_the_nearest_pixel(make_scene: MakeScene, scene: Path) -> None:
    values = np.zeros((1, 300, 300), dtype=np.uint8)
    values[0, :, 150:] = 1
    labels = make_scene(values, "labels.tif", crs="EPSG:4326", transform=Affine(5e-5, 0, 104.997, 0, -5e-5, 10.8575))
    mask, _ = rasterised([(labels, LabelOptions())], scene)
    border = (104.997 + 150 * 5e-5 - 105) * 109_400 / 10  # in pixels; a degree of longitude is 109.4 km here
    assert (mask[40, : int(border) - 1] == 0).all() and (mask[40, int(border) + 2 :] == 1).all()


def test_a_mask_of_another_size_at_the_same_corner_is_refused(make_scene: MakeScene, scene: Path) -> None:
    labels = make_scene(np.zeros((1, ROWS + 3, COLS), dtype=np.uint8), "labels.tif")
    with pytest.raises(InputRefused) as refused:
        rasterised([(labels, LabelOptions())], scene)
    assert refused.value.faults[0].code == "grid_mismatch" and "83 x 100" in refused.value.faults[0].detail


@pytest.mark.parametrize(("rows", "cols"), [(2 * ROWS, COLS), (ROWS, 3 * COLS), (ROWS // 2, COLS)])
def test_a_mosaic_or_a_part_may_start_at_the_corner_of_a_scene(
    make_scene: MakeScene, scene: Path, rows: int, cols: int
) -> None:
    values = np.random.default_rng(0).integers(0, 2, (1, rows, cols), dtype=np.uint8)
    mask, _ = rasterised([(make_scene(values, "labels.tif"), LabelOptions())], scene)
    expected = np.full((max(rows, ROWS), max(cols, COLS)), 255)
    expected[:rows, :cols] = values[0]
    assert (mask == expected[:ROWS, :COLS]).all()


def test_a_mask_far_finer_than_the_scene_is_refused(make_scene: MakeScene, scene: Path) -> None:
    labels = make_scene(np.zeros((1, 90, 90), dtype=np.uint8), "labels.tif", transform=GRID @ Affine.scale(0.05))
    with pytest.raises(InputRefused, match="20 times smaller"):
        rasterised([(labels, LabelOptions())], scene)


def test_a_scene_larger_than_a_block_has_no_seams(tmp_path: Path, make_scene: MakeScene) -> None:
    scene = make_scene(np.ones((1, 1100, 2100), dtype=np.uint8))
    path = geojson(tmp_path / "x", [(square(1000, 1000, 60), {"v": 1}), (square(2040, 3, 30), {"v": 1})])
    mask, _ = rasterised([(path, CANE)], scene)
    expected = np.zeros((1100, 2100), dtype=np.uint8)
    expected[1000:1060, 1000:1060] = expected[3:33, 2040:2070] = 1
    assert (mask == expected).all()


FIJI = Affine(1e-4, 0, 179.9968, 0, -1e-4, -16)  # 64 columns, half of them beyond 180 degrees


@pytest.mark.parametrize("first", [-180, 0])
def test_labels_fall_on_a_scene_in_degrees_beyond_180(tmp_path: Path, make_scene: MakeScene, first: int) -> None:
    """The layer has longitudes from -180 to 180, or from 0 to 360."""
    scene = make_scene(np.ones((1, 64, 64), dtype=np.uint8), crs="EPSG:4326", transform=FIJI)
    west, east = shapely.box(179.9978, -16.004, 179.999, -16.002), shapely.box(180.001, -16.004, 180.003, -16.002)
    if first == -180:
        east = shapely.transform(east, lambda xy: xy - (360, 0))
    path = geojson(tmp_path / "x", [(west, {"v": 1}), (east, {"v": 2})], crs=None)
    mask, _ = rasterised([(path, CANE)], scene)
    expected = np.zeros((64, 64), dtype=np.uint8)
    expected[20:40, 10:22], expected[20:40, 42:62] = 1, 2
    assert (mask == expected).all()


@pytest.mark.parametrize("turn", [0, -360])
def test_labels_in_0_to_360_fall_on_a_scene_in_minus_180_to_180(
    tmp_path: Path, make_scene: MakeScene, turn: int
) -> None:
    """The second scene lies west of -180 degrees."""
    west = 190 + 2 * turn if turn else -170
    scene = make_scene(
        np.ones((1, 20, 20), dtype=np.uint8), crs="EPSG:4326", transform=Affine(1e-4, 0, west, 0, -1e-4, 5)
    )
    path = geojson(tmp_path / "x", [(shapely.box(190.0005, 4.999, 190.0015, 4.9995), {"v": 1})], crs=None)
    mask, _ = rasterised([(path, CANE)], scene)
    expected = np.zeros((20, 20), dtype=np.uint8)
    expected[5:10, 5:15] = 1
    assert (mask == expected).all()


@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:32701", Affine(10, 0, 179_970, 0, -10, 8_134_930)),
        ("EPSG:32660", Affine(10, 0, 819_600, 0, -10, -1_865_000)),
        ("EPSG:3857", Affine(10, 0, 20_037_508 - 320, 0, -10, -1_906_000)),
        ("EPSG:3857", Affine(10, 0, -20_037_508 - 320, 0, -10, -1_906_000)),
        ("EPSG:6933", Affine(10, 0, 17_367_530 - 320, 0, -10, -2_140_000)),
    ],
)
@pytest.mark.parametrize("first", [-180, 0])
def test_labels_in_degrees_fall_on_both_halves_of_a_projected_scene_across_the_date_line(
    tmp_path: Path, make_scene: MakeScene, crs: str, transform: Affine, first: int
) -> None:
    scene = make_scene(np.ones((1, 64, 64), dtype=np.uint8), crs=crs, transform=transform)
    with open_raster(scene) as dataset:
        grid = grid_of(dataset)
    cols, rows = np.meshgrid(np.arange(64) + 0.5, np.arange(64) + 0.5)
    lon, lat = to_wgs84(grid.crs).transform(*grid.xy(cols, rows))
    middle = float(np.median(lat))
    # two parts that were cut at 180 degrees, each 150 m wide and 200 m high
    parts = [
        shapely.box(left, middle - 1e-3, left + 1.4e-3, middle + 1e-3)
        for left in (180 - 1.4e-3, first + 180 * (first == 0))
    ]
    mask, _ = rasterised([(geojson(tmp_path / "x", [(part, {"v": 1}) for part in parts], crs=None), CANE)], scene)
    beyond = np.where(lon < 0, lon + 360, lon)
    inside = (np.abs(beyond - 180) < 1.4e-3) & (np.abs(lat - middle) < 1e-3)
    assert inside.sum() > 300 and (beyond[inside] > 180).any() and (beyond[inside] < 180).any()
    assert (mask.astype(bool) != inside).sum() <= 2  # centres of pixels that lie on an edge


@pytest.mark.parametrize(
    ("mask_west", "scene_west"), [(-180.0, 179.9968), (179.9968, -180.0032), (0.0, 179.9968), (179.9968, 179.9968)]
)
def test_a_mask_falls_on_the_same_places_of_other_turns(
    make_scene: MakeScene, mask_west: float, scene_west: float
) -> None:
    scene = make_scene(
        np.ones((1, 40, 64), dtype=np.uint8), crs="EPSG:4326", transform=Affine(1e-4, 0, scene_west, 0, -1e-4, -16)
    )
    step, cols = (1e-4, 64) if mask_west > 1 else (0.0004, 900_000)
    values = np.zeros((1, 10, cols), dtype=np.uint8)
    place = mask_west + (np.arange(cols) + 0.5) * step
    values[0, :, ((place % 360) > 179.999) & ((place % 360) < 180.002)] = 1
    labels = make_scene(
        values, "labels.tif", crs="EPSG:4326", transform=Affine(step, 0, mask_west, 0, -4e-4, -16), compress="deflate"
    )
    mask, _ = rasterised([(labels, LabelOptions())], scene)
    there = (scene_west + (np.arange(64) + 0.5) * 1e-4) % 360
    inside = (there > 179.999) & (there < 180.002)
    assert abs(int((mask[5] == 1).sum()) - int(inside.sum())) <= 4 and (mask[5][inside] == 1).sum() >= inside.sum() - 4
    assert (mask != 255).all()


def test_labels_fall_on_a_scene_around_a_pole(tmp_path: Path, make_scene: MakeScene) -> None:
    polar = Affine(5000, 0, -160_000, 0, -5000, 160_000)
    scene = make_scene(np.ones((1, 64, 64), dtype=np.uint8), crs="EPSG:3413", transform=polar)
    ring = shapely.box(-180, 89, 180, 89.5)
    mask, _ = rasterised([(geojson(tmp_path / "x", [(ring, {"v": 1})], crs=None), CANE)], scene)
    with open_raster(scene) as dataset:
        grid = grid_of(dataset)
    cols, rows = np.meshgrid(np.arange(64) + 0.5, np.arange(64) + 0.5)
    _, lat = to_wgs84(grid.crs).transform(*grid.xy(cols, rows))
    assert ((lat > 89) & (lat < 89.5)).sum() > 1000
    assert ((mask == 1) != ((lat > 89) & (lat < 89.5))).mean() < 0.01


def test_one_operation_for_a_whole_layer_tears_no_parcel(tmp_path: Path, make_scene: MakeScene) -> None:
    """PROJ has different operations east and west of 110.13 degrees, which differ by some 45 m."""
    west, east = shapely.box(110.127, 22.4995, 110.13, 22.5005), shapely.box(110.13, 22.4995, 110.133, 22.5005)
    path = geojson(tmp_path / "x", [(west, {"v": 1}), (east, {"v": 2})], crs="EPSG:4214")
    scene = make_scene(
        np.ones((1, 96, 96), dtype=np.uint8), crs="EPSG:32649", transform=Affine(10, 0, 410_030, 0, -10, 2_488_910)
    )
    _, report = rasterised([(path, SPARSE)], scene)
    expected_px = 0.003 * 111_320 * np.cos(np.radians(22.5)) * 0.001 * 110_700 / 100
    column_px = 11  # by which both may differ from their areas, since they do not begin at the corner of a pixel
    assert abs(report.counts[1] - report.counts[2]) <= column_px
    assert abs(report.counts[1] + report.counts[2] - 2 * expected_px) <= 2 * column_px


def test_parcels_in_grads_fall_on_their_pixels(tmp_path: Path, make_scene: MakeScene) -> None:
    paris = Affine(10, 0, 600_000, 0, -10, 2_200_000)
    scene = make_scene(np.ones((1, 64, 64), dtype=np.uint8), crs="EPSG:27572", transform=paris)
    field = shapely.box(600_100, 2_199_500, 600_600, 2_199_900)
    for crs in ("EPSG:4807", "EPSG:4275"):
        there = Transformer.from_crs("EPSG:27572", crs, always_xy=True)
        path = geojson(
            tmp_path / "x", [(shapely.transform(field, there.transform, interleaved=False), {"v": 1})], crs=crs
        )
        mask, _ = rasterised([(path, CANE)], scene)
        assert mask.sum() == 2000 and (mask[10:50, 10:60] == 1).all()
