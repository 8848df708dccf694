"""Scenes, classes and splits that cannot form one dataset are refused."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from ml.contract import BINARY, ClassDef, Scaling
from ml.data import SceneFile
from ml.datasets.checks import class_faults
from ml.datasets.splits import BlockSplit, Fractions, SceneSplit
from ml.faults import InputRefused
from ml.scenes.compatibility import contract_faults
from ml.scenes.inspect import inspect_scene
from tests.ml.conftest import MakeScene
from tests.ml.datasets.world import RNG, SIZE, World
from tests.ml.labels.layers import square

ALL_TRAIN = SceneSplit(by="scene", train=("a", "b"), val=("c",))


@pytest.fixture
def world(tmp_path: Path, make_scene: MakeScene) -> World:
    return World(tmp_path, make_scene)


def image() -> np.ndarray:
    return RNG.integers(1, 1000, (2, SIZE, SIZE), dtype=np.uint16)


def named(scene: SceneFile, *bands: str) -> SceneFile:
    return scene.model_copy(update={"bands": bands})


@pytest.mark.parametrize(
    ("values", "code"),
    [((1,), "too_few_classes"), ((), "too_few_classes"), ((4, 4, 5), "same_class"), ((1, 2), "unsupported_classes")],
)
def test_unusable_lists_of_classes_are_refused(world: World, values: tuple[int, ...], code: str) -> None:
    classes = [ClassDef(value=value, name=f"crop {number}") for number, value in enumerate(values)]
    assert world.faults(classes=classes) == {"/classes": code}


def test_two_classes_with_one_name_are_refused(world: World) -> None:
    classes = [*BINARY, ClassDef(value=2, name="sugarcane")]
    assert world.faults(classes=classes) == {"/classes": "same_class"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("rice", "Rice"),
        ("rice", " rice "),
        ("caf\u00e9", "cafe\u0301"),
        ("甘蔗", "\ufeff甘\u200b蔗"),
        ("STRASSE", "straße"),
    ],
)
def test_two_names_that_look_alike_are_refused(world: World, one: str, other: str) -> None:
    classes = [BINARY[0], ClassDef(value=1, name=one), ClassDef(value=2, name=other)]
    with pytest.raises(InputRefused) as refused:
        world.prepare(classes=classes)
    (fault,) = refused.value.faults
    assert (fault.code, fault.pointer) == ("same_class", "/classes")
    assert repr(one) in fault.detail
    assert repr(other) in fault.detail


@pytest.mark.parametrize("name", [" ", "\u200b", "a\vb", "a\nb", "a\x00", "\uffff", "a\u2028b", "\x1b[31m"])
def test_names_that_not_every_product_can_show_are_refused(world: World, name: str) -> None:
    assert world.faults(classes=[BINARY[0], ClassDef(value=1, name=name)]) == {"/classes/1/name": "bad_class_name"}


def test_names_in_any_script_are_taken() -> None:
    names = ("甘蔗", "نی\u200cشکر", "_a $b$", "<&>\"'", "cane no. 2", "a" * 80)
    assert not list(class_faults([ClassDef(value=value, name=name) for value, name in enumerate(names)]))


def test_a_scene_that_is_named_twice_is_refused(world: World) -> None:
    scenes = [*world.scenes, world.scenes[0]]
    assert world.faults(scenes=scenes) == {"/scenes/3": "repeated_scene"}
    blocks = BlockSplit(by="block", block_px=64, buffer_px=0, fractions=Fractions(train=0.5, val=0.25, test=0.25))
    assert world.faults(blocks, scenes=scenes) == {"/scenes/3": "repeated_scene"}


def test_bands_may_have_different_names_with_the_same_meaning(world: World) -> None:
    first, second, third = world.scenes
    scenes = [named(first, "b", "nir"), named(second, "blue", "B08"), named(third, "B02 blue", "N")]
    assert world.prepare(scenes=scenes).training_data.contract.bands == ("B02 blue", "N")


def test_scenes_that_contradict_each_other_are_refused_beside_one_without_band_names(world: World) -> None:
    first, second, third = world.scenes
    scenes = [first, named(second, "blue", "red"), named(third, "red", "blue")]
    assert world.faults(scenes=scenes) == {"/scenes/2": "wrong_bands"}


def test_the_contract_has_the_band_names_of_the_scene_whose_names_say_most(world: World) -> None:
    first, second, third = world.scenes
    contract = world.prepare(scenes=[first, second, named(third, "blue", "red")]).training_data.contract
    assert contract.bands == ("blue", "red")
    wrong = inspect_scene(first.path, bands=("red", "blue"))
    assert [fault.code for fault in contract_faults(wrong, contract)] == ["wrong_bands"]


def test_scenes_whose_bands_only_their_order_tells_are_named_beside_others(world: World) -> None:
    first, second, third = world.scenes
    scenes = [first, named(second, "blue", "red"), named(third, "B02", "B04")]
    (note,) = [note for note in world.prepare(scenes=scenes).notes if note.code == "bands_by_order"]
    assert "as blue, red" in note.detail and note.detail.endswith(f"{first.name}, {third.name}.")
    assert all(note.code != "bands_by_order" for note in world.prepare().notes)


def test_scenes_with_and_without_a_scale_do_not_form_one_dataset(world: World) -> None:
    first, second, third = world.scenes
    with rasterio.open(second.path, "r+") as dataset:
        dataset.scales = (1e-4, 1e-4)
    assert world.faults() == {"/scenes/1": "scale_mismatch"}
    for scene in (first, third):
        with rasterio.open(scene.path, "r+") as dataset:
            dataset.scales = (2e-4, 2e-4)
    contract = world.prepare().training_data.contract
    assert contract.scaling == (Scaling(scale=2e-4),) * 2
    assert contract.statistics[0].max < 0.3


def test_int16_and_uint16_scenes_form_one_dataset_without_changing_a_value(world: World) -> None:
    first, second, third = (image() for _ in range(3))
    second[:, 5:9] = 32_767
    of_types = [
        world.prepare(
            ALL_TRAIN,
            scenes=[
                world.scene("a", 0, first),
                world.scene("b", 100, second.astype(dtype)),
                world.scene("c", 200, third.astype(dtype)),
            ],
            homogenise="histogram",
        )
        for dtype in (np.uint16, np.int16)
    ]
    plain, mixed = (prepared.training_data for prepared in of_types)
    assert mixed.contract == plain.contract
    assert [scene.radiometry for scene in mixed.val] == [scene.radiometry for scene in plain.val]
    assert of_types[0].statistics == of_types[1].statistics


@pytest.mark.parametrize(("one", "other"), [("uint16", "int16"), ("float32", "float64")])
def test_a_copy_of_a_scene_in_another_pixel_type_is_a_leak(world: World, one: str, other: str) -> None:
    pixels, others = RNG.integers(1, 1000, (2, 1, 256, 256))
    kinds = ("a", pixels, one), ("b", pixels, other), ("c", others, one)
    scenes = [world.scene(name, 300 * n, image.astype(kind)) for n, (name, image, kind) in enumerate(kinds)]
    with pytest.raises(InputRefused) as refused:
        world.prepare(scenes=scenes, labels=[world.label("far", [(square(300 * n, 0), {}) for n in range(3)])])
    assert [fault.code for fault in refused.value.faults] == ["leak_duplicate_pixels"]
