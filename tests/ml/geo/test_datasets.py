import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

from ml.contract import BINARY
from ml.data import SceneFile
from ml.faults import InputRefused
from ml.geo.datasets import LabelFile, Prepared, prepare
from ml.geo.labels import LabelOptions
from ml.geo.raster import open_raster
from ml.geo.splits import BlockSplit, Fractions, SceneSplit
from ml.progress import Progress
from tests.ml.geo.conftest import GRID, MakeScene
from tests.ml.geo.layers import geojson, square

RNG = np.random.default_rng(0)
SIZE = 64
BY_SCENE = SceneSplit(by="scene", train=("a",), val=("b",), test=("c",))


class World:
    """Three scenes side by side, a, b and c, each with a field of 10 x 10 px in its corner."""

    def __init__(self, folder: Path, make_scene: MakeScene) -> None:
        self.folder, self.make_scene = folder, make_scene
        self.scenes = [self.scene(name, 100 * number) for number, name in enumerate("abc")]
        self.fields = self.label("plots", [(square(100 * number, 0), {}) for number in range(3)])

    def scene(self, name: str, col: int, image: np.ndarray | None = None, **options: Any) -> SceneFile:
        if image is None:
            image = RNG.integers(1, 1000, (2, SIZE, SIZE), dtype=np.uint16)
        path = self.make_scene(image, f"{name}.tif", transform=GRID @ Affine.translation(col, 0), nodata=0, **options)
        return SceneFile(name=name, path=path)

    def label(self, name: str, items: list[Any], **options: Any) -> LabelFile:
        return LabelFile(name=name, path=geojson(self.folder / name, items), options=LabelOptions(**options))

    def prepare(self, split: SceneSplit | BlockSplit = BY_SCENE, *more: LabelFile, **changes: Any) -> Prepared:
        options: dict[str, Any] = {"scenes": self.scenes, "labels": [self.fields, *more], "classes": BINARY} | changes
        return prepare(split=split, out=self.folder / "out", **options)

    def faults(self, split: SceneSplit | BlockSplit = BY_SCENE, *more: LabelFile, **changes: Any) -> dict[str, str]:
        with pytest.raises(InputRefused) as refused:
            self.prepare(split, *more, **changes)
        assert all(fault.detail and fault.hint for fault in refused.value.faults)
        return {fault.pointer: fault.code for fault in refused.value.faults}


@pytest.fixture
def world(tmp_path: Path, make_scene: MakeScene) -> World:
    return World(tmp_path, make_scene)


def read(path: Path) -> np.ndarray:
    with open_raster(path) as dataset:
        values: np.ndarray = dataset.read(1)
    return values


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
    assert train["pixels"] == {"other": SIZE**2 - 100, "sugarcane": 100, "unlabelled": 0}
    assert train["fraction"]["sugarcane"] == pytest.approx(100 / SIZE**2)
    assert train["area_ha"]["sugarcane"] == pytest.approx(1 / 0.9996**2, rel=1e-4)
    json.dumps(statistics, allow_nan=False)


def test_pixels_that_are_not_valid_are_unlabelled_and_unmeasured(world: World) -> None:
    image = np.full((2, SIZE, SIZE), 500, dtype=np.uint16)
    image[:, :5], image[:, 5:, :32] = 0, 300
    prepared = world.prepare(scenes=[world.scene("a", 0, image), *world.scenes[1:]])
    assert prepared.statistics["train"]["pixels"] == {
        "other": (SIZE - 5) * SIZE - 50,
        "sugarcane": 50,
        "unlabelled": 5 * SIZE,
    }
    (first, _) = prepared.training_data.contract.statistics
    assert (first.min, first.max, first.mean, first.std) == (300, 500, 400, 100)


def test_the_contract_is_that_of_the_training_split_alone(world: World) -> None:
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
    assert prepared.statistics["test"]["fraction"] == {"other": None, "sugarcane": None}


def test_blocks_of_one_scene_go_to_all_splits_and_leave_a_buffer(world: World) -> None:
    scene = world.scene("big", 0, RNG.integers(1, 9, (2, 256, 256), dtype=np.uint16))
    split = BlockSplit(by="block", block_px=64, buffer_px=8, fractions=Fractions(train=0.5, val=0.25, test=0.25))
    prepared = world.prepare(split, scenes=[scene])
    data = prepared.training_data
    masks = [read(part[0].mask) != 255 for part in (data.train, data.val, data.test)]
    assert (np.sum(masks, axis=0) <= 1).all()
    counted = [sum(prepared.statistics[name]["pixels"].values()) for name in ("train", "val", "test")]  # type: ignore[arg-type]
    assert counted == [mask.sum() for mask in masks] and sum(counted) < 256**2


def test_the_owner_hears_of_layers_that_contradict_and_of_classes_that_are_missing(world: World) -> None:
    again = world.label("again", [(square(5, 0), {"v": 0})], class_field="v", background=255)
    (note,) = world.prepare(BY_SCENE, again).notes
    assert note.code == "overlapping_layers" and note.detail.startswith("a: 'again' gives 50 pixels")
    everywhere = world.label("all", [(square(0, 0, 300), {})])
    (note,) = world.prepare(BY_SCENE, everywhere).notes
    assert note.code == "single_class" and "other" in note.detail


def test_every_scene_is_reported(world: World) -> None:
    heard: list[Progress] = []
    world.prepare(watch=heard.append)
    assert [(item.stage, item.done, item.total) for item in heard] == [("rasterise", n, 3) for n in range(4)]


def test_every_scene_without_a_label_is_named(world: World) -> None:
    only_a = world.label("a-only", [(square(0, 0), {})])
    assert world.faults(labels=[only_a]) == {"/scenes/1": "no_overlap", "/scenes/2": "no_overlap"}


def test_scenes_must_be_alike(world: World) -> None:
    three = world.scene("b", 100, np.ones((3, SIZE, SIZE), dtype=np.uint16))
    coarse = world.scene("c", 200, np.ones((2, SIZE, SIZE), dtype=np.float32))
    assert world.faults(scenes=[world.scenes[0], three, coarse]) == {
        "/scenes/1": "wrong_bands",
        "/scenes/2": "wrong_dtype",
    }


def test_a_scene_in_two_splits_or_in_none_is_refused(world: World) -> None:
    split = SceneSplit(by="scene", train=("a", "z"), val=("a",))
    assert world.faults(split) == {"/split/train/1": "unknown_scenes", "/split/val/0": "split_overlap"}


def test_a_class_that_the_dataset_does_not_name_is_refused(world: World) -> None:
    other = world.label("other", [(square(30, 30), {"v": 3})], class_field="v")
    assert world.faults(BY_SCENE, other) == {"/scenes/0": "unknown_class"}


def test_a_faulty_layer_is_named(world: World) -> None:
    assert world.faults(BY_SCENE, world.label("none", [])) == {"/labels/1": "no_features"}


def test_a_split_without_labels_is_refused(world: World) -> None:
    image = np.ones((2, SIZE, SIZE), dtype=np.uint16)
    image[:, :20, :20] = 0
    sparse = world.label("sparse", [(square(100 * number, 0), {}) for number in range(3)], background=255)
    scenes = [world.scenes[0], world.scene("b", 100, image), world.scenes[2]]
    assert world.faults(labels=[sparse], scenes=scenes) == {"/split/val": "empty_split"}


def test_a_refused_dataset_leaves_no_scratch_file(world: World) -> None:
    world.faults(labels=[world.label("a-only", [(square(0, 0), {})])])
    assert not (world.folder / "out" / "burnt.tif").exists()
