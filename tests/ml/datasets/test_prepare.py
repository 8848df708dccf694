import json
from pathlib import Path

import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import Transformer

from ml.contract import BINARY, ClassDef, Method
from ml.datasets.checks import learning_faults
from ml.datasets.prepare import LabelFile
from ml.datasets.splits import BlockSplit, Fractions, SceneSplit
from ml.faults import InputRefused
from ml.geo.raster import open_raster
from ml.geo.windows import Window
from ml.labels.classes import LabelOptions
from ml.nn.masks import training_faults
from ml.progress import Progress
from ml.radiometry.homogenise import open_homogenised
from tests.ml.conftest import GRID, MakeScene
from tests.ml.datasets.world import BY_SCENE, RNG, SIZE, World
from tests.ml.labels.layers import Item, geojson, square

CROPS = ((0, "cane"), (1, "cassava"), (2, "?"))


@pytest.fixture
def world(tmp_path: Path, make_scene: MakeScene) -> World:
    return World(tmp_path, make_scene)


def read(path: Path, band: int = 1) -> np.ndarray:
    with open_raster(path) as dataset:
        values: np.ndarray = dataset.read(band)
    return values


def bands(path: Path) -> int:
    with open_raster(path) as dataset:
        return int(dataset.count)


def test_each_scene_gets_a_mask_on_its_own_grid(world: World) -> None:
    data = world.prepare().training_data
    assert [scene.name for scene in (*data.train, *data.val, *data.test)] == ["a", "b", "c"]
    for scene in (*data.train, *data.val, *data.test):
        expected = np.zeros((SIZE, SIZE), dtype=np.uint8)
        expected[:10, :10] = 1
        assert (read(scene.mask) == expected).all()
    assert sorted(path.name for path in (world.folder / "out").iterdir()) == ["masks"]


def test_statistics_count_pixels_shares_and_hectares(world: World) -> None:
    statistics = world.prepare().statistics
    assert set(statistics) == {"train", "val", "test"}
    train = statistics["train"]
    assert train.pixels == {"other": SIZE**2 - 100, "sugarcane": 100, "unlabelled": 0}
    assert train.fraction["sugarcane"] == pytest.approx(100 / SIZE**2)
    assert train.area_ha["sugarcane"] == pytest.approx(1 / 0.9996**2, rel=1e-4)
    json.dumps({name: part.model_dump() for name, part in statistics.items()}, allow_nan=False)


def test_pixels_that_are_not_valid_are_unlabelled_and_unmeasured(world: World) -> None:
    image = np.full((2, SIZE, SIZE), 500, dtype=np.uint16)
    image[:, :5], image[:, 5:, :32] = 0, 300
    prepared = world.prepare(scenes=[world.scene("a", 0, image), *world.scenes[1:]])
    assert prepared.statistics["train"].pixels == {
        "other": (SIZE - 5) * SIZE - 50,
        "sugarcane": 50,
        "unlabelled": 5 * SIZE,
    }
    (first, _) = prepared.training_data.contract.statistics
    assert (first.min, first.max, first.mean, first.std) == (300, 500, 400, 100)


def test_pixels_without_data_are_unlabelled_in_the_mask(world: World) -> None:
    image = np.full((2, SIZE, SIZE), 500, dtype=np.uint16)
    image[:, :10, :10] = 0
    prepared = world.prepare(scenes=[world.scene("a", 0, image), *world.scenes[1:]])
    assert [note.code for note in prepared.notes] == ["single_class"]
    assert [fault.code for fault in training_faults(prepared.training_data)] == ["one_class"]
    assert (read(prepared.training_data.train[0].mask)[:10, :10] == 255).all()


def test_the_contract_has_the_statistics_of_the_training_split_alone(world: World) -> None:
    scenes = [
        world.scenes[0],
        world.scene("b", 100, np.full((2, SIZE, SIZE), 60_000, dtype=np.uint16)),
        world.scenes[2],
    ]
    contract = world.prepare(scenes=scenes).training_data.contract
    assert (contract.bands, contract.dtype, contract.nodata, contract.classes) == (("1", "2"), "uint16", 0, BINARY)
    assert contract.gsd == pytest.approx(10.004, abs=1e-3)
    assert max(band.max for band in contract.statistics) < 1000


def test_a_split_without_test_scenes_has_no_test_data(world: World) -> None:
    split = SceneSplit(by="scene", train=("a", "c"), val=("b",))
    prepared = world.prepare(split)
    assert prepared.training_data.test == () and len(prepared.training_data.train) == 2
    assert prepared.statistics["test"].fraction == {"other": None, "sugarcane": None}


def test_blocks_of_one_scene_go_to_all_splits_and_leave_a_buffer(world: World) -> None:
    scene = world.scene("big", 0, RNG.integers(1, 9, (2, 256, 256), dtype=np.uint16))
    split = BlockSplit(by="block", block_px=64, buffer_px=8, fractions=Fractions(train=0.5, val=0.25, test=0.25))
    prepared = world.prepare(split, scenes=[scene])
    data = prepared.training_data
    masks = [read(part[0].mask) != 255 for part in (data.train, data.val, data.test)]
    assert (np.sum(masks, axis=0) <= 1).all()
    counted = [sum(prepared.statistics[name].pixels.values()) for name in ("train", "val", "test")]
    assert counted == [mask.sum() for mask in masks] and sum(counted) < 256**2


def test_contradicting_layers_and_missing_classes_are_noted(world: World) -> None:
    again = world.label("again", [(square(5, 0), {"v": 0})], class_field="v", background=255)
    (note,) = world.prepare(BY_SCENE, again).notes
    assert note.code == "overlapping_layers" and note.detail.startswith("a: 'again' gives 50 pixels")
    everywhere = world.label("all", [(square(100 * number, 0, 64), {}) for number in range(3)])
    (note,) = world.prepare(BY_SCENE, everywhere).notes
    assert note.code == "single_class" and "other" in note.detail


def test_a_split_without_a_class_that_is_learnt_is_noted(world: World) -> None:
    image = RNG.integers(1, 1000, (2, SIZE, SIZE), dtype=np.uint16)
    image[:, :10, :10] = 0  # the only field of scene b has no data
    scenes = [world.scenes[0], world.scene("b", 100, image), world.scenes[2]]
    (note,) = world.prepare(scenes=scenes).notes
    assert note.code == "absent_class"
    assert note.detail == "The validation split has no pixel of sugarcane."
    assert "undefined" in note.hint


def test_what_no_polygon_covers_is_unlabelled_unless_said_otherwise(world: World) -> None:
    plots: list[Item] = [(square(100 * n + col, 0), {"v": v}) for n in range(3) for v, col in enumerate((0, 20))]
    sparse = LabelFile(name="s", path=geojson(world.folder / "s", plots), options=LabelOptions(class_field="v"))
    prepared = world.prepare(labels=[sparse])
    assert prepared.statistics["train"].pixels == {"other": 100, "sugarcane": 100, "unlabelled": SIZE**2 - 200}
    assert [note.code for note in prepared.notes] == ["few_labels"] * 3
    assert prepared.notes[0].detail == "The training split has only 200 labelled pixels."


def test_a_dataset_of_fields_of_one_class_says_how_to_name_the_other(world: World) -> None:
    cane: list[Item] = [(square(100 * n, 0, 40), {}) for n in range(3)]
    alone = LabelFile(name="cane", path=geojson(world.folder / "cane", cane))
    prepared = world.prepare(labels=[alone])
    (note,) = prepared.notes
    assert note.code == "single_class" and "background=0" in note.hint
    (fault,) = training_faults(prepared.training_data)
    assert fault.code == "one_class" and "background=0" in fault.hint


def test_a_class_that_is_rare_in_a_split_is_noted_for_that_split(world: World) -> None:
    plots: list[Item] = [(square(0, 0), {}), (square(100, 0, 2), {}), (square(200, 0), {})]
    (note,) = world.prepare(labels=[world.label("plots4", plots)]).notes
    assert note.code == "rare_class"
    assert note.detail == "4 of 4,096 labelled validation pixels are of sugarcane: 0.0977 %."


def test_scenes_of_which_nothing_is_used_are_noted(world: World) -> None:
    image = RNG.integers(1, 1000, (2, SIZE, SIZE), dtype=np.uint16)
    image[:, :32] = 0  # no data
    scenes = [*world.scenes, world.scene("d", 300), world.scene("e", 400, image)]
    labels = [world.label("five", [(square(100 * n, 0), {}) for n in range(5)], background=255)]
    split = SceneSplit(by="scene", train=("a",), val=("b",), test=("c", "e"))
    notes = world.prepare(split, scenes=scenes, labels=labels).notes
    (note,) = (note for note in notes if note.code == "unused_scenes")
    assert note.detail == "Nothing of these scenes is used: d, e."


def test_a_class_most_of_which_has_the_nodata_value_is_noted(world: World) -> None:
    image = RNG.integers(1, 1000, (2, SIZE, SIZE), dtype=np.uint16)
    image[:, :10, :7] = 0  # dark water in 70 of the 100 pixels of the field
    image[:, 12:] = 0  # most of the background, which nobody has drawn
    scenes = [world.scene(name, 100 * n, image) for n, name in enumerate("abc")]
    notes = world.prepare(scenes=scenes, leaks="allow").notes
    (note,) = (note for note in notes if note.code == "labels_without_data")
    assert note.detail == "Most labels of a class lie where the scenes have no data: 210 of 300 px of sugarcane."


def test_a_buffer_that_takes_most_of_a_class_is_noted(world: World) -> None:
    image = RNG.integers(1, 1000, (2, 256, 256), dtype=np.uint16)
    split = BlockSplit(by="block", block_px=64, buffer_px=32, fractions=Fractions(train=0.5, val=0.25, test=0.25))
    at_borders = [(64 * n - 6, row) for n in range(1, 4) for row in range(0, 264, 12)]
    lines: list[Item] = [(square(col, row, 12), {}) for col, row in at_borders]
    labels = [world.label("lines", lines)]
    prepared = world.prepare(split, scenes=[world.scene("a", 0, image)], labels=labels, leaks="allow")
    cane = prepared.total.pixels["sugarcane"]
    (note,) = (note for note in prepared.notes if note.code == "wide_buffer")
    labelled = 3 * 12 * 256
    assert cane < labelled / 2
    taken = f"{labelled - cane:,} of {labelled:,} px of sugarcane"
    assert note.detail == f"The buffer between the splits takes most of a class: {taken}."


def test_progress_is_reported_in_rows_before_each_window_of_every_scene(world: World) -> None:
    wide = world.scene("wide", 0, RNG.integers(1, 1000, (2, 1100, 2100), dtype=np.uint16))
    heard: list[Progress] = []
    split = SceneSplit(by="scene", train=("wide",), val=("b",))
    labels = [world.label("fields", [(square(0, 0), {}), (square(100, 0), {})])]
    world.prepare(split, scenes=[wide, world.scenes[1]], labels=labels, watch=heard.append, leaks="allow")
    rasterised = [item for item in heard if item.stage == "rasterise"]
    assert [(item.done, item.message) for item in rasterised] == [
        *[(0, "wide")] * 3,
        *[(1024, "wide")] * 3,
        (1100, "b"),
        (1100 + SIZE, ""),
    ]
    assert {item.total for item in rasterised} == {1100 + SIZE}
    audited = [item.done for item in heard if item.stage == "audit"]
    assert audited == sorted(audited)
    assert audited[-1] == 2 * (1100 + SIZE)


def test_labels_that_take_too_much_memory_are_refused_by_name(world: World) -> None:
    # one text of over 32 MiB, which no allocator takes from what other tests have left
    labels = [world.label("many", [(square(0, 0), {"note": "x" * 40_000_000})])]
    with pytest.raises(InputRefused, match="many: Reading the file takes over 1 MiB of memory") as refused:
        world.prepare(labels=labels, label_memory_bytes=1 << 20)
    assert [(fault.code, fault.pointer) for fault in refused.value.faults] == [("inspection_limit", "/labels/0")]
    world.prepare(label_memory_bytes=1 << 30)


def test_every_scene_without_a_label_is_refused_by_name(world: World) -> None:
    only_a = world.label("a-only", [(square(0, 0), {})])
    assert world.faults(labels=[only_a]) == {"/scenes/1": "no_overlap", "/scenes/2": "no_overlap"}


def test_scenes_with_different_contracts_are_refused(world: World) -> None:
    three = world.scene("b", 100, np.ones((3, SIZE, SIZE), dtype=np.uint16))
    coarse = world.scene("c", 200, np.ones((2, SIZE, SIZE), dtype=np.float32))
    assert world.faults(scenes=[world.scenes[0], three, coarse]) == {
        "/scenes/1": "wrong_bands",
        "/scenes/2": "wrong_dtype",
    }


def test_a_scene_that_is_in_two_splits_or_unknown_is_refused(world: World) -> None:
    split = SceneSplit(by="scene", train=("a", "z"), val=("a",))
    assert world.faults(split) == {"/split/train/1": "unknown_scenes", "/split/val/0": "split_overlap"}


def test_a_label_of_a_class_outside_the_dataset_is_refused(world: World) -> None:
    other = world.label("other", [(square(30, 30), {"v": 3})], class_field="v")
    assert world.faults(BY_SCENE, other) == {"/scenes/0": "unknown_class"}


def test_a_faulty_layer_of_labels_is_refused_with_its_pointer(world: World) -> None:
    assert world.faults(BY_SCENE, world.label("none", [])) == {"/labels/1": "no_features"}


def test_a_split_without_labels_is_refused(world: World) -> None:
    image = np.ones((2, SIZE, SIZE), dtype=np.uint16)
    image[:, :20, :20] = 0
    sparse = world.label("sparse", [(square(100 * number, 0), {}) for number in range(3)], background=255)
    scenes = [world.scenes[0], world.scene("b", 100, image), world.scenes[2]]
    assert world.faults(labels=[sparse], scenes=scenes) == {"/split/val": "empty_split"}


def test_a_refused_dataset_leaves_no_file(world: World) -> None:
    world.faults(labels=[world.label("a-only", [(square(0, 0), {})])])
    assert not (world.folder / "out").exists()


def test_scenes_and_splits_add_up_to_the_whole(world: World) -> None:
    split = SceneSplit(by="scene", train=("a",), val=("b",))
    prepared = world.prepare(split)
    assert set(prepared.by_scene) == {"a", "b"}
    assert prepared.by_scene["b"] == prepared.statistics["val"]
    for kind in ("pixels", "area_ha"):
        for name, total in getattr(prepared.total, kind).items():
            assert total == pytest.approx(sum(getattr(scene, kind)[name] for scene in prepared.by_scene.values()))
    assert prepared.total.fraction["sugarcane"] == pytest.approx(100 / SIZE**2)


def test_the_second_band_has_the_name_that_the_labels_give_each_pixel(world: World) -> None:
    plots = [(square(100 * number + 20 * row, 0), {"crop": crop}) for number in range(3) for row, crop in CROPS]
    crops = world.label("crops", plots, class_field="crop", classes={"cane": 1, "?": 255, "*": 0}, background=255)
    raster = world.make_scene(np.full((1, 8, 8), 7, np.uint8), "raster", transform=GRID @ Affine.translation(50, 50))
    mask = LabelFile(name="raster", path=raster, options=LabelOptions(classes={"7": 0}))
    prepared = world.prepare(labels=[crops, mask])
    data = prepared.training_data
    assert data.references == ("7", "cane", "cassava")
    assert prepared.references == {"7": 64, "cane": 300, "cassava": 300}
    expected = np.full((SIZE, SIZE), 255, dtype=np.uint8)
    expected[:10, :10], expected[:10, 20:30], expected[50:58, 50:58] = 1, 2, 0
    assert (read(data.train[0].mask, 2) == expected).all()
    assert (read(data.train[0].mask) == np.array([0, 1, 0, *[255] * 253], dtype=np.uint8)[expected]).all()


def test_masks_of_labels_without_names_have_one_band(world: World) -> None:
    data = world.prepare().training_data
    assert data.references == () and bands(data.train[0].mask) == 1


def test_names_are_left_out_if_there_are_too_many_for_a_band(world: World) -> None:
    plots = [(square(100 * n + c % 16, c // 16, 1), {"id": f"{n}-{c:03}"}) for n in range(3) for c in range(100)]
    prepared = world.prepare(labels=[world.label("ids", plots, class_field="id", classes={"*": 1})])
    assert prepared.training_data.references == () and bands(prepared.training_data.val[0].mask) == 1
    (note,) = prepared.notes
    assert note.code == "too_many_references" and "300" in note.detail


def test_a_dataset_may_have_many_classes_with_any_values(world: World) -> None:
    classes = tuple(ClassDef(value=value, name=name) for value, name in ((7, "rice"), (254, "cane"), (0, "rest")))
    plots = [(square(100 * n + 20 * v, 0), {"v": value}) for n in range(3) for v, value in enumerate((7, 254))]
    labels = [world.label("plots3", plots, class_field="v")]
    prepared = world.prepare(labels=labels, classes=classes)
    assert prepared.training_data.contract.classes == classes and prepared.notes == ()
    pixels = prepared.statistics["train"].pixels
    assert list(pixels.items()) == [("rice", 100), ("cane", 100), ("rest", SIZE**2 - 200), ("unlabelled", 0)]
    more = (*classes, ClassDef(value=3, name="maize"))
    (note,) = world.prepare(labels=labels, classes=more).notes
    assert note.code == "absent_class" and note.detail.endswith("no pixel of maize.")


@pytest.mark.parametrize("name", ["unlabelled", "total", "name", "value", "all", "zone", "mean", "class", "*"])
def test_a_class_may_have_the_name_of_a_key_of_ours(world: World, name: str) -> None:
    image = RNG.integers(1, 1000, (2, SIZE, SIZE), dtype=np.uint16)
    image[:, 60:] = 0  # 256 px without data
    scenes = [world.scene("a", 0, image), *world.scenes[1:]]
    prepared = world.prepare(scenes=scenes, classes=[ClassDef(value=0, name=name), BINARY[1]])
    train = prepared.statistics["train"]
    assert (train.pixels[name], train.pixels["sugarcane"]) == (SIZE**2 - 100 - 256, 100)
    assert train.fraction == {name: train.pixels[name] / (SIZE**2 - 256), "sugarcane": 100 / (SIZE**2 - 256)}
    assert train.area_ha[name] == pytest.approx(train.area_ha["sugarcane"] * train.pixels[name] / 100, rel=1e-4)
    assert train.unlabelled_pixels == 256
    assert train.unlabelled_area_ha == pytest.approx(train.area_ha["sugarcane"] * 2.56, rel=1e-4)
    assert prepared.total.unlabelled_pixels == 256
    assert prepared.notes == ()
    assert not list(learning_faults([name, "sugarcane"], {s: c.pixels for s, c in prepared.statistics.items()}))


def test_the_hash_depends_on_every_pixel_and_not_on_the_folder(world: World) -> None:
    data = world.prepare().training_data
    assert data.sha256 == world.prepare().training_data.sha256 and len(data.sha256) == 64
    swapped = SceneSplit(by="scene", train=("b",), val=("a",), test=("c",))
    other = world.scene("c", 200)
    changed = [world.prepare(swapped), world.prepare(scenes=[*world.scenes[:2], other])]
    assert len({data.sha256, *(prepared.training_data.sha256 for prepared in changed)}) == 3


def test_outliers_are_clipped_to_limits_of_the_training_split_unless_switched_off(world: World) -> None:
    image = RNG.integers(100, 200, (2, SIZE, SIZE), dtype=np.uint16)
    image[0, 0, 0] = 60_000
    scenes = [world.scene("a", 0, image), *world.scenes[1:]]
    (first, _) = world.prepare(scenes=scenes).training_data.contract.statistics
    assert first.max == 60_000
    assert first.low is not None
    assert first.high is not None
    assert 99 < first.low < first.high < 201
    (first, _) = world.prepare(scenes=scenes, clip=False).training_data.contract.statistics
    assert (first.low, first.high) == (None, None)


def test_the_limits_of_outliers_do_not_flatten_a_rare_class(world: World) -> None:
    image = RNG.integers(100, 200, (2, 400, 400), dtype=np.uint16)
    image[0, :10, :10] = RNG.integers(700, 900, (10, 10))  # 0.06 % of the pixels, all of which are the class
    image[0, 399, 399] = 60_000
    scenes = [world.scene("a", -500, image), *world.scenes[1:]]
    labels = [world.label("rare", [(square(col, 0), {}) for col in (-500, 100, 200)])]
    prepared = world.prepare(scenes=scenes, labels=labels)
    (first, second) = prepared.training_data.contract.statistics
    assert first.low == 100
    assert first.high is not None
    assert 880 < first.high < 900
    assert second.high == 199
    (rare, note) = prepared.notes
    assert (rare.code, note.code) == ("rare_class", "wide_limits")
    assert rare.detail == "100 of 160,000 labelled training pixels are of sugarcane: 0.0625 %."
    assert note.detail.startswith("Band 1 is clipped to 100 to 8")
    assert note.detail.endswith("instead of 100 to 199, because most of sugarcane lies beyond.")
    assert world.prepare(scenes=scenes, labels=labels, clip=False).notes == (rare,)


def test_a_class_as_bright_as_cloud_is_noted_with_its_share(world: World) -> None:
    image = RNG.integers(100, 200, (2, SIZE, SIZE), dtype=np.uint16)
    image[:, :9, :10] = 900  # nine of the ten rows of the field
    (note,) = world.prepare(scenes=[world.scene("a", 0, image), *world.scenes[1:]]).notes
    assert note.code == "bright_class"
    assert note.detail == "90 % of the training pixels of sugarcane are as bright as cloud in every band."
    image[1, :9, :10] = 150  # cloud is bright in every band
    assert world.prepare(scenes=[world.scene("a", 0, image), *world.scenes[1:]]).notes == ()


@pytest.mark.parametrize("method", ["robust", "histogram", "wallis"])
def test_a_band_whose_contrast_cannot_be_homogenised_is_noted(world: World, method: Method) -> None:
    image = RNG.integers(1, 1000, (2, SIZE, SIZE), dtype=np.uint16)
    image[1] = 700
    scenes = [*world.scenes[:2], world.scene("c", 200, image)]
    prepared = world.prepare(scenes=scenes, homogenise=method)
    (note,) = prepared.notes
    assert note.code == "flat_band"
    assert note.detail.startswith(f"c: {method} only shifts band 2,")
    with open_homogenised(prepared.training_data.test[0], prepared.training_data.contract.homogenise) as source:
        pixels, _ = source.read(Window(0, 0, SIZE, SIZE))
    assert np.ptp(pixels[1]) < 1e-3 < np.ptp(pixels[0])
    assert np.isfinite(pixels).all()


def test_a_band_that_is_mostly_equal_is_noted_for_the_method_that_needs_the_median_alone(world: World) -> None:
    image = RNG.integers(1, 1000, (2, SIZE, SIZE), dtype=np.uint16)
    image[0, 20:] = 700
    scenes = [*world.scenes[:2], world.scene("c", 200, image)]
    noted = {
        method: [note.code for note in world.prepare(scenes=scenes, homogenise=method).notes]
        for method in ("robust", "histogram", "wallis")
    }
    assert noted == {"robust": ["flat_band"], "histogram": [], "wallis": []}


def test_homogenised_scenes_have_their_radiometry_and_the_contract_has_the_reference(world: World) -> None:
    dark, other, third = (RNG.integers(100, 200, (2, SIZE, SIZE), dtype=np.uint16) for _ in range(3))
    scenes = [world.scene("a", 0, dark), world.scene("b", 100, 3 * other + 50), world.scene("c", 200, third)]
    split = SceneSplit(by="scene", train=("a", "b"), val=("c",))
    data = world.prepare(split, scenes=scenes, homogenise="robust").training_data
    common = data.contract.homogenise
    assert common is not None
    medians = [scene.radiometry.bands[0].median for scene in data.train if scene.radiometry]
    assert common.reference[0].median == pytest.approx(np.mean(medians))
    assert all(scene.radiometry for scene in data.val)
    # both training scenes now have the radiometry of the reference, so together they spread no wider than one
    (first, _) = data.contract.statistics
    assert first.std == pytest.approx(2 * dark[0].std(), rel=0.05)


def test_polygons_that_no_pixel_belongs_to_are_counted(world: World) -> None:
    narrow = shapely.transform(
        square(0, 0, 1), lambda xy: (xy - (500_000, 1_200_000)) * (0.3, 30) + (500_306, 1_199_700)
    )
    usual: list[Item] = [(square(100 * number, 0), {}) for number in range(3)]
    plots: list[Item] = [*usual, (narrow, {}), (square(40.6, 40.6, 0.3), {})]
    far: list[Item] = [(square(900, 0), {}), (square(950, 0), {})]
    notes = world.prepare(labels=[world.label("small", [*plots, *far])]).notes
    (note,) = (note for note in notes if note.code == "polygons_without_pixels")
    assert note.detail.startswith("2 of 7 polygons of 'small' have no pixel") and "2 lie in no scene" in note.detail


def test_a_datum_without_a_known_shift_is_noted_once_for_all_scenes(world: World) -> None:
    there = Transformer.from_crs("EPSG:32648", "EPSG:4326", always_xy=True)
    squares = (square(100 * number, 0, 30) for number in range(3))
    fields: list[Item] = [(shapely.transform(each, there.transform, interleaved=False), {}) for each in squares]
    xian = LabelFile(name="xian", path=geojson(world.folder / "xian", fields, crs="EPSG:4610"))
    notes = [note for note in world.prepare(labels=[xian]).notes if note.code == "unknown_datum_shift"]
    assert len(notes) == 1 and "'xian' are in Xian 1980" in notes[0].detail and "100 m" in notes[0].detail
    assert not any("datum" in note.code for note in world.prepare().notes)
