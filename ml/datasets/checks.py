"""Can scenes, labels, classes and a split be one dataset? What can be known before labels are put on grids."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from ml.contract import ClassDef
from ml.datasets.splits import SPLITS, BlockSplit, Split
from ml.faults import Fault, InputRefused
from ml.scenes.bands import telling
from ml.scenes.compatibility import contract_faults, contract_of
from ml.scenes.inspect import SceneInfo


@contextmanager
def naming(name: str, pointer: str = "") -> Iterator[None]:
    """Name the file in what is refused within, and point there."""
    try:
        yield
    except InputRefused as refused:
        raise InputRefused(*(named(fault, name, pointer) for fault in refused.faults)) from None


def named(fault: Fault, name: str, pointer: str = "") -> Fault:
    """The fault with the name of its file; pointer: where the file is named, by default where the fault points."""
    return replace(fault, detail=f"{name}: {fault.detail}", pointer=pointer or fault.pointer)


def class_faults(classes: Sequence[ClassDef]) -> Iterator[Fault]:
    """too_few_classes; same_class, two have one value or one name; unsupported_classes, two that are not 0 and 1."""
    values, names = [item.value for item in classes], [item.name for item in classes]
    if len(classes) < 2:
        detail = f"The dataset has {len(classes)} classes: one alone cannot be told from anything."
        yield Fault("too_few_classes", detail, "Name at least two.", "/classes")
    if twice := [repr(item) for item, count in Counter([*values, *names]).items() if count > 1]:
        hint = "Give each class a value and a name of its own."
        yield Fault("same_class", f"Several classes have {', '.join(twice)}.", hint, "/classes")
    if len(classes) == 2 and values != [0, 1]:
        detail = f"The two classes have the values {values}."
        hint = "Give them the values 0 and 1, in this order: what is mapped is class 1, everything else class 0."
        yield Fault("unsupported_classes", detail, hint, "/classes")


def split_faults(split: Split, scenes: Sequence[str]) -> Iterator[Fault]:
    """repeated_scene, one of `scenes` is named twice; unknown_scenes and split_overlap of a split by scenes."""
    known = set[str]()
    for number, name in enumerate(scenes):
        if name in known:
            detail = f"Scene {name!r} is named twice: its pixels would count twice."
            yield Fault("repeated_scene", detail, "Name each scene once.", f"/scenes/{number}")
        known.add(name)
    if isinstance(split, BlockSplit):
        return  # every scene has blocks of every split
    owner = dict[str, str]()
    for part in SPLITS:
        for number, name in enumerate(getattr(split, part)):
            pointer = f"/split/{part}/{number}"
            if name not in known:
                yield Fault("unknown_scenes", f"{name!r} is not among the scenes.", "Add it, or leave it out.", pointer)
            if name in owner:
                detail = f"Scene {name!r} is in {owner[name]} and in {part}: what is learnt by heart would be scored."
                yield Fault("split_overlap", detail, "Keep each scene in one split.", pointer)
            owner[name] = part


def standard_scene(scenes: Mapping[str, SceneInfo]) -> str:
    """The name of the scene that the others must be like, and that the dataset's contract describes.

    It is the first of those whose names of bands tell most: what fits a scene without names may contradict another.
    """
    return max(scenes, key=lambda name: telling([band.name for band in scenes[name].bands]))


def scene_faults(names: Sequence[str], scenes: Mapping[str, SceneInfo]) -> Iterator[Fault]:
    """Scenes of one dataset must fit one model: wrong_bands, wrong_dtype, bad_resolution, as of `contract_faults`.

    names: of all scenes of the dataset, in order. scenes: those of them that are known.
    """
    if not scenes:
        return
    standard = standard_scene(scenes)
    contract = contract_of(scenes[standard])
    for number, name in enumerate(names):
        if name in scenes:
            for fault in contract_faults(scenes[name], contract, f"{standard} has"):
                yield named(fault, name, f"/scenes/{number}")


def empty_faults(labelled: Mapping[str, object]) -> Iterator[Fault]:
    """empty_split: nothing is labelled in train or in val. labelled: by split what is, or whether anything is."""
    for name in ("train", "val"):
        if not labelled[name]:
            hint = "Give the split scenes with labels; with blocks take smaller ones."
            yield Fault("empty_split", f"No valid pixel of the split {name!r} is labelled.", hint, f"/split/{name}")


def learning_faults(classes: Sequence[str], pixels: Mapping[str, Mapping[str, float | None]]) -> Iterator[Fault]:
    """Why a net cannot learn from a dataset: empty_split; one_class, all labels of train are of one class.

    A class may be absent beside two others: `ml.datasets.prepare` notes it. classes: their names. pixels: by split,
    then by class, how many valid ones have its label.
    """
    found = {split: [name for name in classes if pixels[split].get(name)] for split in ("train", "val")}
    yield from empty_faults(found)
    if len(found["train"]) == 1:
        detail = f"All labelled pixels of the split 'train' are of class {found['train'][0]!r}."
        yield Fault("one_class", detail, "Add training scenes or labels of another class.", "/split/train")
