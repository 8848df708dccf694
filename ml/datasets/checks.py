"""Can scenes, labels, classes and a split be one dataset? What can be known before labels are put on grids."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from ml.contract import ClassDef, Contract
from ml.data import SceneFile
from ml.datasets.splits import SPLITS, BlockSplit, Split
from ml.faults import Fault, InputRefused
from ml.scenes.compatibility import contract_faults
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
    """bad_classes: fewer than two, or two of the same value or name."""
    hint = "Give two classes or more, each with its own value and its own name."
    if len(classes) < 2:
        yield Fault("bad_classes", f"The dataset has {len(classes)} classes.", hint, "/classes")
    values, names = Counter(item.value for item in classes), Counter(item.name for item in classes)
    twice = [repr(item) for item, count in (*values.items(), *names.items()) if count > 1]
    if twice:
        yield Fault("bad_classes", f"Several classes have {', '.join(twice)}.", hint, "/classes")


def split_faults(split: Split, scenes: Sequence[SceneFile]) -> Iterator[Fault]:
    """unknown_scenes, split_overlap: a split by scenes names some that are not there, or one twice."""
    if isinstance(split, BlockSplit):
        return  # every scene has blocks of every split
    names, owner = {scene.name for scene in scenes}, dict[str, str]()
    for part in SPLITS:
        for number, name in enumerate(getattr(split, part)):
            pointer = f"/split/{part}/{number}"
            if name not in names:
                yield Fault("unknown_scenes", f"{name!r} is not among the scenes.", "Add it, or leave it out.", pointer)
            if name in owner:
                detail = f"Scene {name!r} is in {owner[name]} and in {part}: what is learnt would be scored."
                yield Fault("split_overlap", detail, "Keep each scene in one split.", pointer)
            owner[name] = part


def scene_faults(scenes: Sequence[SceneFile], infos: Sequence[SceneInfo]) -> Iterator[Fault]:
    """Scenes of one dataset must fit one model: all are compared with the first, by `contract_faults`."""
    first = infos[0]
    names = tuple(band.name for band in first.bands)
    contract = Contract(bands=names, dtype=first.dtype, gsd=first.gsd, nodata=first.nodata, statistics=())
    for number, (scene, info) in enumerate(zip(scenes, infos, strict=True)):
        for fault in contract_faults(info, contract, f"{scenes[0].name} has"):
            yield named(fault, scene.name, f"/scenes/{number}")
