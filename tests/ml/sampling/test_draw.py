"""Samples are drawn with the probabilities that they state, and again the same by digest and seed."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ml.contract import MAP_NODATA
from ml.faults import InputRefused
from ml.geo.areas import pixel_area_ha
from ml.sampling.design import WHOLE, Design, SamplePoint
from ml.sampling.draw import cell_for, draw_grid, draw_strata
from ml.sampling.frame import map_grid, read_frame
from ml.sampling.plan import ErrorRates
from ml.sampling.sample import draw_sample
from ml.sampling.training_labels import labelled
from tests.ml.conftest import write_scene
from tests.ml.sampling.maps import CLASSES, confusion, make_truth, with_errors, write_map
from tests.rounds import rounds

TRUTH = make_truth()
IMAGE = with_errors(TRUTH)
RATES = ErrorRates(confusion(TRUTH, IMAGE))


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_map(tmp_path_factory.mktemp("map") / "classes.tif", IMAGE)


def places(points: Sequence[SamplePoint]) -> list[tuple[int, int]]:
    return [(point.row, point.col) for point in points]


def test_the_frame_has_all_pixels_with_a_class_and_their_hectares_on_the_ground(classes: Path) -> None:
    frame, grid = read_frame(classes, CLASSES, "rule"), map_grid(classes)
    rows, cols = np.mgrid[0 : grid.rows, 0 : grid.cols] + 0.5
    area = pixel_area_ha(grid, rows, cols)
    for value in (0, 1):
        there = np.equal(IMAGE, value)
        assert frame.class_pixels[value] == there.sum()
        assert frame.class_area_ha[value] == pytest.approx(area[there].sum(), rel=1e-5)
    assert frame.pixels == (IMAGE != MAP_NODATA).sum()


def test_the_digest_changes_with_a_pixel_the_place_and_the_rule(classes: Path, tmp_path: Path) -> None:
    changed, moved = IMAGE.copy(), tmp_path / "moved.tif"
    changed[3, 1050] ^= 1
    others = [
        read_frame(write_map(tmp_path / "changed.tif", changed), CLASSES, "rule"),
        read_frame(write_map(moved, IMAGE, crs="EPSG:32649"), CLASSES, "rule"),
        read_frame(classes, CLASSES, "another rule"),
        read_frame(classes, CLASSES, "rule"),
    ]
    assert len({frame.sha256 for frame in others}) == 4
    again = read_frame(
        write_map(tmp_path / "again.tif", IMAGE, tiled=True, blockxsize=64, blockysize=64), CLASSES, "rule"
    )
    assert again.sha256 == others[3].sha256, "how the file is laid out does not matter"


@pytest.mark.parametrize("kind", ["stratified", "random", "systematic"])
def test_the_same_digest_and_seed_give_the_same_points(classes: Path, kind: str) -> None:
    design = Design.model_validate({"kind": kind, "n": 200, "seed": 7})
    first, again = (draw_sample(classes, CLASSES, design, RATES) for _ in range(2))
    assert first == again
    other = draw_sample(classes, CLASSES, design.model_copy(update={"seed": 8}), RATES)
    assert places(other[1]) != places(first[1])
    points = first[1]
    assert len(set(places(points))) == len(points) == sum(stratum.n for stratum in first[0].strata)
    assert [point.id for point in points] == list(range(1, len(points) + 1))
    for point in points:
        assert point.map_class == IMAGE[point.row, point.col] != MAP_NODATA
        assert point.stratum == (str(point.map_class) if kind == "stratified" else WHOLE)


def test_points_lie_in_the_middle_of_their_pixels(classes: Path) -> None:
    _, points = draw_sample(classes, CLASSES, Design(n=60), RATES)
    grid = map_grid(classes)
    lon, lat = (np.array([getattr(point, name) for point in points]) for name in ("lon", "lat"))
    x, y = grid.operation.transformer.transform(lon, lat, direction="INVERSE")
    cols, rows = grid.pixels(np.asarray(x), np.asarray(y))
    assert np.abs(cols - [point.col + 0.5 for point in points]).max() < 0.01
    assert np.abs(rows - [point.row + 0.5 for point in points]).max() < 0.01


def test_each_stratum_gets_its_points_and_states_their_probability(classes: Path) -> None:
    drawn, points = draw_sample(classes, CLASSES, Design(n=400, allocation="equal"), RATES)
    for stratum in drawn.strata:
        assert stratum.n == 200 == sum(point.stratum == stratum.key for point in points)
        assert stratum.inclusion == 200 / stratum.pixels
    order = [point.map_class for point in points]
    assert 60 < sum(order[:200]) < 140, "the classes are mixed in the order of the points"


def test_every_pixel_is_drawn_as_often_as_its_probability_says(tmp_path: Path) -> None:
    image = np.array([[0, 0, 0, 1, 1, MAP_NODATA, 0, 0, 1, 0]] * 3, np.uint8)
    path, many = write_map(tmp_path / "small.tif", image), rounds(600)
    random, counted = np.random.default_rng(5), np.zeros(image.shape)
    of_grid, frame = np.zeros(image.shape), read_frame(path, CLASSES, "rule")
    by_class = np.where(np.arange(256) < 2, np.arange(256), -1)
    for seed in range(many):
        drawn, strata = draw_strata(path, lambda _, seen: by_class[seen], np.array([18, 9]), np.array([6, 2]), random)
        assert np.array_equal(strata, drawn.classes)
        counted[drawn.rows, drawn.cols] += 1
        grid, inclusion = draw_grid(path, (2, 3), frame, seed)
        of_grid[grid.rows, grid.cols] += 1
    wanted = np.select([image == 0, image == 1], [6 / 18, 2 / 9], 0.0)
    assert np.abs(counted / many - wanted).max() < 5 * np.sqrt(0.25 / many)
    assert np.abs(of_grid / many - np.where(image == MAP_NODATA, 0, inclusion)).max() < 5 * np.sqrt(0.25 / many)


@pytest.mark.parametrize(("pixels", "n"), [(1_000_000, 400), (1_000_000, 399), (154_000, 77), (10, 10), (10, 7)])
def test_the_cells_of_a_grid_give_at_least_the_points_that_were_asked_for(pixels: int, n: int) -> None:
    down, across = cell_for(pixels, n)
    assert n <= pixels / (down * across) < n * 1.5
    assert 0.5 <= down / across <= 1


def test_a_map_without_classes_is_refused(tmp_path: Path) -> None:
    path = write_map(tmp_path / "empty.tif", np.full((5, 5), MAP_NODATA, np.uint8))
    with pytest.raises(InputRefused, match="No pixel of the map"):
        draw_sample(path, CLASSES, Design(n=10), RATES)


def test_points_on_labels_of_the_training_are_found(classes: Path, tmp_path: Path) -> None:
    _, points = draw_sample(classes, CLASSES, Design(n=300), RATES)
    mask = np.full((80, 600), 255, np.uint8)
    mask[10:40, 100:500] = 1
    mask[50, :] = 0
    path = write_scene(tmp_path / "mask.tif", mask[None], nodata=255)
    lon, lat = (np.array([getattr(point, name) for point in points]) for name in ("lon", "lat"))
    found = labelled(path, lon, lat)
    wanted = [p.row < 80 and p.col < 600 and mask[p.row, p.col] != 255 for p in points]
    assert found.tolist() == wanted and 5 < sum(wanted) < 295


def test_a_systematic_sample_has_one_point_in_each_cell_and_does_not_follow_rows_of_fields(classes: Path) -> None:
    frame, cell = read_frame(classes, CLASSES, "rule"), (16, 30)
    drawn, inclusion = draw_grid(classes, cell, frame, 0)
    assert inclusion == 1 / 480
    assert len(drawn.rows) == pytest.approx(frame.pixels / 480, rel=0.15)
    assert len(set(drawn.cols.tolist())) > len(drawn.cols) / 2, "a plain grid would have one column in thirty"
    truly = TRUTH == 1  # whole columns of cane
    shares = [truly[each.rows, each.cols].mean() for each, _ in (draw_grid(classes, cell, frame, s) for s in range(60))]
    as_random = np.sqrt(truly.mean() * (1 - truly.mean()) / len(drawn.rows))
    assert np.std(shares) < 1.3 * as_random
