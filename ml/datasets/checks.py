"""Check that scenes, classes and a split can form one dataset, as far as possible before labels are rasterised."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from ml.class_notes import SECOND_CLASS
from ml.contract import ClassDef
from ml.datasets.splits import SPLITS, BlockSplit, Split
from ml.faults import Fault, InputRefused, Note
from ml.scenes.bands import telling
from ml.scenes.compatibility import contract_faults, contract_of, order_notes
from ml.scenes.inspect import SceneInfo
from ml.text import alike, first_few, is_visible_name


@contextmanager
def naming(name: str, pointer: str = "") -> Iterator[None]:
    """Add the name of a file to the detail of every fault that is raised in this context, and set its pointer."""
    try:
        yield
    except InputRefused as refused:
        raise InputRefused(*(named(fault, name, pointer) for fault in refused.faults)) from None


def named(fault: Fault, name: str, pointer: str = "") -> Fault:
    """The fault with the name of its file in the detail.

    pointer: Where the request names the file; by default, the pointer of the fault stays.
    """
    return replace(fault, detail=f"{name}: {fault.detail}", pointer=pointer or fault.pointer)


def class_faults(classes: Sequence[ClassDef]) -> Iterator[Fault]:
    """The faults of a list of classes.

    too_few_classes: There are fewer than two. same_class: Two classes share a value, or names that `alike` cannot tell
    apart. bad_class_name: A name is blank or has control characters, so that not every product could show it.
    unsupported_classes: There are exactly two classes, but their values are not 0 and 1, in this order.
    """
    values, names = [item.value for item in classes], [item.name for item in classes]
    if len(classes) < 2:
        detail = f"The dataset has {len(classes)} classes: there must be at least two to tell apart."
        yield Fault("too_few_classes", detail, "Name at least two classes.", "/classes")
    if twice := [*_repeated(values, values), *_repeated(names, [alike(name) for name in names])]:
        hint = "Use a different value and a different name for each class; case and invisible characters do not count."
        yield Fault("same_class", f"Several classes have {', '.join(twice)}.", hint, "/classes")
    for number, item in enumerate(classes):
        if not is_visible_name(item.name):
            detail = f"The name {item.name!r} of class {item.value} is blank or has control characters."
            hint = "Give the class a name of visible characters, on one line."
            yield Fault("bad_class_name", detail, hint, f"/classes/{number}/name")
    if len(classes) == 2 and values != [0, 1]:
        detail = f"The two classes have the values {values}."
        hint = "Give them the values 0 and 1, in this order: class 1 is what is mapped, class 0 is everything else."
        yield Fault("unsupported_classes", detail, hint, "/classes")


def _repeated(shown: Sequence[object], keys: Sequence[object]) -> list[str]:
    """The different members of `shown` whose key another member has, too. keys: One key for each member."""
    count = Counter(keys)
    return [repr(item) for item in dict.fromkeys(item for item, key in zip(shown, keys, strict=True) if count[key] > 1)]


def split_faults(split: Split, scenes: Sequence[str]) -> Iterator[Fault]:
    """The faults of a split and of the names of the scenes.

    repeated_scene: A name stands twice in `scenes`. unknown_scenes: A split by scenes names one that is not in
    `scenes`. split_overlap: A split by scenes names one scene twice.
    """
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
                detail = f"Scene {name!r} is in {owner[name]} and in {part}: its pixels would be learnt and scored."
                yield Fault("split_overlap", detail, "Keep each scene in one split.", pointer)
            owner[name] = part


def standard_scene(scenes: Mapping[str, SceneInfo]) -> str:
    """The name of the scene that all others are compared with, and that the dataset's contract describes.

    It is the scene whose band names say most about the bands; of several such scenes, the first. Two scenes that both
    fit a scene without band names may still contradict each other.
    """
    return max(scenes, key=lambda name: telling([band.name for band in scenes[name].bands]))


def scene_faults(names: Sequence[str], scenes: Mapping[str, SceneInfo]) -> Iterator[Fault]:
    """The faults of scenes that cannot be used with one model: wrong_bands, wrong_dtype, bad_resolution.

    `ml.scenes.compatibility.contract_faults` defines these faults. names: Names of all scenes of the dataset, in order.
    scenes: The scenes among them that were inspected, by name.
    """
    if not scenes:
        return
    standard = standard_scene(scenes)
    contract = contract_of(scenes[standard])
    for number, name in enumerate(names):
        if name in scenes:
            for fault in contract_faults(scenes[name], contract, f"{standard} has"):
                yield named(fault, name, f"/scenes/{number}")


def band_order_notes(scenes: Mapping[str, SceneInfo]) -> Iterator[Note]:
    """bands_by_order: Names of the bands of some scenes do not say that they are those of the others.

    scenes: The scenes of the dataset, by name.
    """
    contract = contract_of(scenes[standard_scene(scenes)])
    if unsure := [name for name, info in scenes.items() if order_notes(info, contract)]:
        bands = first_few(contract.bands)
        detail = f"Bands are taken in the order of the files, as {bands}, in the scenes {first_few(unsure)}."
        hint = "Check the order, and name the bands of these scenes with bands=."
        yield Note(code="bands_by_order", detail=detail, hint=hint)


def empty_faults(labelled: Mapping[str, object]) -> Iterator[Fault]:
    """empty_split: The split train or the split val has no labelled pixel.

    labelled: By split, a value that is false if nothing in the split is labelled.
    """
    for name in ("train", "val"):
        if not labelled[name]:
            hint = "Add scenes with labels to the split; if the split is by blocks, use smaller blocks."
            yield Fault("empty_split", f"No valid pixel of the split {name!r} is labelled.", hint, f"/split/{name}")


def learning_faults(classes: Sequence[str], pixels: Mapping[str, Mapping[str, float | None]]) -> Iterator[Fault]:
    """Why a net cannot learn from a dataset: empty_split, or one_class, when all labels of train are of one class.

    If at least two classes are labelled, others may be absent; `ml.datasets.prepare` writes a note then. classes: Names
    of the classes. pixels: By split, then by class name, the number of valid pixels with this label.
    """
    found = {split: [name for name in classes if pixels[split].get(name)] for split in ("train", "val")}
    yield from empty_faults(found)
    if len(found["train"]) == 1:
        detail = f"All labelled pixels of the split 'train' are of class {found['train'][0]!r}."
        yield Fault("one_class", detail, SECOND_CLASS, "/split/train")
