from typing import Any

import numpy as np
import pytest
from affine import Affine
from pyproj import CRS, Transformer

from ml.datasets.leaks import PlacedScene, duplicate_pixels, overlapping_scenes
from ml.datasets.prepare import Prepared
from ml.datasets.splits import BlockSplit, Fractions, SceneSplit
from ml.faults import InputRefused
from ml.geo.grid import Grid
from ml.geo.raster import open_raster
from tests.ml.conftest import GRID, MakeScene
from tests.ml.datasets.world import BY_SCENE, RNG, World
from tests.ml.labels.layers import Item, square

TRAIN, VAL = (0,), (1,)
UTM, DEGREES = CRS("EPSG:32648"), CRS("EPSG:4326")


@pytest.fixture
def world(tmp_path: Any, make_scene: MakeScene) -> World:
    return World(tmp_path, make_scene)


def place(col: float, splits: tuple[int, ...], size: int = 100) -> PlacedScene:
    return PlacedScene(f"at{col}", Grid(size, size, GRID @ Affine.translation(col, 0), UTM), splits)


def lonlat(west: float, splits: tuple[int, ...]) -> PlacedScene:
    return PlacedScene(f"at{west}", Grid(100, 100, Affine(1e-4, 0, west, 0, -1e-4, 10.9), DEGREES), splits)


@pytest.mark.parametrize(("col", "leaks"), [(100, False), (99, False), (98, True), (-98, True), (30, True), (0, True)])
def test_scenes_that_overlap_by_more_than_a_pixel_leak(col: int, leaks: bool) -> None:
    faults = overlapping_scenes([place(0, TRAIN), place(col, VAL)])
    assert [fault.code for fault in faults] == ["leak_overlapping_scenes"] * leaks
    if leaks:
        shared = (100 - abs(col)) * 100
        assert f"'at0' (train) and 'at{col}' (val) overlap by {shared:,} pixels" in faults[0].detail


def test_scenes_of_one_split_or_of_none_may_overlap() -> None:
    assert overlapping_scenes([place(0, TRAIN), place(50, TRAIN), place(50, ())]) == []
    assert len(overlapping_scenes([place(0, (0, 1)), place(50, (0, 1))])) == 1  # by blocks


def test_overlaps_are_found_across_coordinate_systems() -> None:
    west, north = Transformer.from_crs(UTM, DEGREES, always_xy=True).transform(500_000, 1_200_000)
    corner = PlacedScene("b", Grid(100, 100, Affine(1e-4, 0, west, 0, -1e-4, north), DEGREES), VAL)
    (fault,) = overlapping_scenes([place(0, TRAIN), corner])
    assert "'at0' (train) and 'b' (val)" in fault.detail
    assert overlapping_scenes([place(0, TRAIN), lonlat(west + 0.1, VAL)]) == []


def test_overlaps_are_found_across_the_date_line() -> None:
    (fault,) = overlapping_scenes([lonlat(179.995, TRAIN), lonlat(-180.0, VAL)])
    assert "overlap by 5,000 pixels, 50.00% of the first" in fault.detail
    assert overlapping_scenes([lonlat(179.985, TRAIN), lonlat(-180.0, VAL)]) == []


def test_of_many_leaks_only_the_first_are_listed() -> None:
    faults = overlapping_scenes([place(0, TRAIN), *(place(number, VAL) for number in range(1, 31))])
    assert len(faults) == 8 and faults[-1].detail == "There are 23 more of these."


def test_three_shared_fingerprints_are_a_leak_and_two_are_not() -> None:
    places = [place(0, TRAIN), place(500, VAL), place(1000, TRAIN)]
    prints = [np.array(each, dtype=np.uint64) for each in ([1, 2, 3], [2, 3, 4, 5], [1, 2, 3, 4, 5])]
    (fault,) = duplicate_pixels(places, prints)
    assert (fault.code, fault.pointer) == ("leak_duplicate_pixels", "/scenes/2")
    assert "'at500' (val) and 'at1000' (train)" in fault.detail and "4,096" in fault.detail


def test_a_copy_under_another_georeference_is_refused(world: World) -> None:
    image = RNG.integers(1, 1000, (2, 128, 128), dtype=np.uint16)
    scenes = [world.scene("a", 0, image), world.scene("b", 1000, np.roll(image, 30, axis=2)), world.scenes[2]]
    plots = world.label("both", [(square(col, 0), {}) for col in (0, 1000, 200)])
    assert world.faults(scenes=scenes, labels=[plots]) == {"/scenes/1": "leak_duplicate_pixels"}
    with pytest.raises(InputRefused, match="same pixels"):  # "drop" drops fields only
        world.prepare(scenes=scenes, labels=[plots], leaks="drop")
    (note,) = world.prepare(scenes=scenes, labels=[plots], leaks="allow").notes
    assert note.code == "leak_duplicate_pixels"


class Halves:
    """A field with 60 px in scene a (train) and 40 px in b (val): in two polygons with one id, or in one polygon."""

    def __init__(self, world: World) -> None:
        self.world = world
        whole = square(58, 20)
        self.scenes = [world.scene("a", 0), world.scene("b", 64), world.scenes[2]]
        sides = [whole.intersection(square(0, 0, 64)), whole.intersection(square(64, 0, 64))]
        self.cut = world.label("cut", [(side, {"plot_id": 9}) for side in sides])
        self.one = world.label("one", [(whole, {})])
        self.rest = world.label("rest", [(square(30, 0), {}), (square(100, 0), {}), (square(200, 0), {})])

    def prepare(self, cut: bool, **options: Any) -> Prepared:
        return self.world.prepare(
            scenes=self.scenes, labels=[self.rest, self.cut if cut else self.one], split=BY_SCENE, **options
        )


@pytest.mark.parametrize("cut", [True, False])
def test_a_field_in_two_splits_is_refused_dropped_or_noted(world: World, cut: bool) -> None:
    halves = Halves(world)
    with pytest.raises(InputRefused) as refused:
        halves.prepare(cut)
    (fault,) = refused.value.faults
    name = "plot_id 9 of 'cut'" if cut else "polygon 1 of 'one'"
    assert fault.code == "leak_shared_fields" and fault.pointer == "/labels/1"
    assert fault.detail == f"One field ({name}) has 60 px in train (a), 40 px in val (b)."

    allowed = halves.prepare(cut, leaks="allow")
    assert [note.detail for note in allowed.notes] == [fault.detail]
    assert [allowed.statistics[part].pixels["sugarcane"] for part in ("train", "val")] == [160, 140]

    dropped = halves.prepare(cut, leaks="drop")
    assert [note.detail for note in dropped.notes] == [
        "40 labelled pixels of fields in several splits are now unlabelled: 40 px of sugarcane."
    ]
    assert [dropped.statistics[part].pixels["sugarcane"] for part in ("train", "val")] == [160, 100]
    assert dropped.statistics["val"].pixels["unlabelled"] == 40
    with open_raster(dropped.training_data.val[0].mask) as mask:
        assert (mask.read(1)[20:30, :4] == 255).all()


def test_references_do_not_count_dropped_pixels(world: World) -> None:
    halves = Halves(world)
    named = world.label("named", [(square(58, 20), {"crop": "cane"})], class_field="crop", classes={"cane": 1})
    labels = [halves.rest, named]
    references = [
        world.prepare(scenes=halves.scenes, labels=labels, leaks=mode).references for mode in ("drop", "allow")
    ]
    assert references == [{"cane": 60}, {"cane": 100}]


def test_pixels_without_data_or_beneath_another_layer_are_not_a_leak(world: World) -> None:
    halves = Halves(world)
    image = RNG.integers(1, 1000, (2, 64, 64), dtype=np.uint16)
    image[:, 20:25, :4] = 0
    scenes = [halves.scenes[0], world.scene("b", 64, image), halves.scenes[2]]
    above = world.label("above", [(square(64, 25, 5), {})], background=255)
    prepared = world.prepare(scenes=scenes, labels=[halves.rest, halves.one, above])
    assert prepared.notes == ()


def test_a_field_across_blocks_stays_labelled_in_one_split_only(world: World) -> None:
    scene = world.scene("big", 0, RNG.integers(1, 999, (2, 256, 256), dtype=np.uint16))
    split = BlockSplit(by="block", block_px=64, buffer_px=0, fractions=Fractions(train=0.5, val=0.25, test=0.25))
    plots: list[Item] = [(square(2 + 20 * col, 2 + 20 * row, 18), {}) for col in range(12) for row in range(12)]
    labels = [world.label("grid", plots, background=255)]
    with pytest.raises(InputRefused, match="One field"):
        world.prepare(split, scenes=[scene], labels=labels)
    data = world.prepare(split, scenes=[scene], labels=labels, leaks="drop").training_data
    seen = np.zeros(144, dtype=int)
    for part in (data.train, data.val, data.test):
        with open_raster(part[0].mask) as mask:
            values = mask.read(1)
        seen += [(values[2 + 20 * r :, 2 + 20 * c :][:18, :18] == 1).any() for c in range(12) for r in range(12)]
    assert (seen == 1).all()


def test_raster_labels_have_no_fields(world: World) -> None:
    raster = world.make_scene(
        np.ones((1, 70, 310), dtype=np.uint8), "raster.tif", transform=GRID @ Affine.translation(-5, -5)
    )
    split = SceneSplit(by="scene", train=("a",), val=("b",), test=("c",))
    mask = world.fields.model_copy(update={"path": raster, "name": "mask"})
    assert {note.code for note in world.prepare(split, labels=[mask]).notes} == {"single_class"}
