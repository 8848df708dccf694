"""Prepare a dataset: rasterise labels on the grids of scenes, split them, find leaks, and count classes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from affine import Affine

from ml.class_notes import split_notes
from ml.contract import UNLABELLED, BandStatistics, ClassDef, Contract, Homogenise, Method
from ml.data import LabelledScene, SceneFile, TrainingData
from ml.datasets.audit import DatasetScene, audit, settle_leaks
from ml.datasets.checks import (
    band_order_notes,
    class_faults,
    empty_faults,
    naming,
    scene_faults,
    split_faults,
    standard_scene,
)
from ml.datasets.class_counts import ClassCounts, SplitStatistics, together
from ml.datasets.masks import MaskRules, mask_path, write_masks
from ml.datasets.options import Leaks
from ml.datasets.splits import SPLITS, Split, shares
from ml.datasets.training_pixels import TrainingPixels
from ml.faults import Note, refuse_any
from ml.frozen import Frozen
from ml.geo.crs import crs_from_wkt
from ml.geo.grid import Grid
from ml.geo.memory import memory_within
from ml.geo.watched import WatchedRows
from ml.labels.classes import LabelOptions
from ml.labels.layers import LabelLayer, open_layer
from ml.labels.rasterise import LabelRaster
from ml.progress import Progress, Watch, silent
from ml.radiometry.homogenise import flat_bands
from ml.radiometry.measure import measure, reference_of
from ml.scenes.compatibility import contract_of
from ml.scenes.inspect import SceneInfo, inspect_scene
from ml.scenes.source import RasterSource
from ml.text import first_few

_MAX_REFERENCES = UNLABELLED  # band 2 of a mask can tell this many names apart


class LabelFile(Frozen):
    """A file of labels, and how to read it."""

    name: str
    path: Path
    options: LabelOptions = LabelOptions()


@dataclass(frozen=True)
class Prepared:
    """A dataset ready to train on.

    training_data: The scenes, with the masks that were written. statistics: Pixels and areas of each class, by split.
    by_scene: The same by scene, over its pixels in all splits; scenes that are in no split are absent. total: The same
    over all splits. references: Number of labelled and valid pixels in all splits, by the name that the labels give
    them, for the names of band 2. notes: What the owner should look at.
    """

    training_data: TrainingData
    statistics: dict[str, SplitStatistics]
    by_scene: dict[str, SplitStatistics]
    total: SplitStatistics
    references: dict[str, int]
    notes: tuple[Note, ...]


def prepare(
    scenes: Sequence[SceneFile],
    labels: Sequence[LabelFile],
    split: Split,
    classes: Sequence[ClassDef],
    out: Path,
    watch: Watch = silent,
    leaks: Leaks = "refuse",
    homogenise: Method | None = None,
    clip: bool = True,
    label_memory_bytes: int | None = None,
) -> Prepared:
    """Rasterise the labels on the grid of every scene, one mask for each split: `out`/masks/{split}/{scene}.tif.

    A scene without a labelled pixel in a split has no mask for that split; `write_masks` says what a mask holds. Labels
    are matched to scenes by location; where two layers overlap, the later one counts. `watch` is called for each window
    of each stage, which counts rows of scenes: "audit", "measure" (only with `homogenise`) and "rasterise"; before them
    for each file, in the stage "read".

    leaks: What to do if a net could learn from one split what it is scored on in another; `settle_leaks` explains it.
    homogenise: Bring all scenes to the mean radiometry of the scenes with a part in the training split. clip: Clip
    outliers to the 0.1 and 99.9 percentiles of the training split, or further out where most of a class lies beyond.
    label_memory_bytes: Most memory that reading one file of labels may take.

    Raises:
        InputRefused: All faults that were found in one step: those of `inspect_scene`, `open_layer`, `class_faults`,
            `split_faults`, `scene_faults` and `settle_leaks`; no_overlap, if a scene has no label; unknown_class;
            too_few_blocks; and empty_split, if train or val has no labels.
    """
    names = [scene.name for scene in scenes]
    refuse_any([*class_faults(classes), *split_faults(split, names)])
    infos, layers = _opened(scenes, labels, _Reading(watch, len(scenes) + len(labels), label_memory_bytes))
    standard = infos[standard_scene(infos)]
    entries = _entries(scenes, [*infos.values()], split)
    found = audit(entries, layers, classes, watch)
    only, leak_notes = settle_leaks(found, leaks, classes)
    counts = found.feature_counts.by_reference(layers)
    references, name_notes = _names(counts)
    entries, common = _measured(entries, homogenise, watch) if homogenise else (entries, None)
    rules, pixels = MaskRules(only, _references(references, layers)), TrainingPixels(len(standard.bands))
    written = _write(entries, layers, rules, out, pixels, common, watch)
    refuse_any(empty_faults(written.masks))
    statistics, pixel_notes = pixels.statistics(classes, clip=clip)
    of_scenes = (*band_order_notes(infos), *found.notes, *leak_notes, *name_notes, *_flat_notes(entries, common))
    of_masks = (*_unused_notes(names, written), *found.left_out.notes(classes), *written.notes(classes), *pixel_notes)
    return Prepared(
        training_data=_training_data(written, _contract(standard, statistics, classes, common), references),
        statistics={name: each.statistics(classes) for name, each in written.splits.items()},
        by_scene={name: each.statistics(classes) for name, each in written.scenes.items()},
        total=together(written.splits.values()).statistics(classes),
        references={name: counts[name] for name in references},
        notes=(*of_scenes, *of_masks),
    )


@dataclass(frozen=True)
class _Written:
    """The masks that were written, and what was counted on the way.

    masks: Scenes with a mask, by split. splits, scenes: Class counts by split, and by scene.
    """

    masks: dict[str, list[LabelledScene]]
    splits: dict[str, ClassCounts]
    scenes: dict[str, ClassCounts]

    def notes(self, classes: Sequence[ClassDef]) -> tuple[Note, ...]:
        """What is to be known about the numbers of pixels of each class in the splits."""
        by_name = {
            split: {item.name: int(counts.pixels[item.value]) for item in classes}
            for split, counts in self.splits.items()
        }
        return tuple(split_notes(by_name))


class _Reading:
    """Opens the files of a dataset, and reports which of `total` is being opened in the stage "read"."""

    def __init__(self, watch: Watch, total: int, label_memory_bytes: int | None) -> None:
        self._watch, self._total, self._done, self._memory = watch, total, 0, label_memory_bytes

    def scene(self, scene: SceneFile, pointer: str) -> SceneInfo:
        """Inspect a scene. pointer: Where the request names it."""
        self._begin("scene", scene.name)
        with naming(scene.name, pointer):
            return inspect_scene(scene.path, bands=scene.bands, nodata=scene.nodata)

    def labels(self, label: LabelFile, pointer: str) -> LabelLayer:
        """Open a layer of labels. pointer: Where the request names it."""
        self._begin("labels", label.name)
        with naming(label.name, pointer), memory_within(self._memory):
            return open_layer(label.path, label.options, label.name)

    def _begin(self, kind: str, name: str) -> None:
        self._watch(Progress("read", self._done, self._total, name, file=f"{kind} {name!r}"))
        self._done += 1


def _opened(
    scenes: Sequence[SceneFile], labels: Sequence[LabelFile], reading: _Reading
) -> tuple[dict[str, SceneInfo], list[LabelLayer]]:
    """What the scenes are, by name, and the layers of labels. Raises the faults of all scenes together."""
    infos = {scene.name: reading.scene(scene, f"/scenes/{number}") for number, scene in enumerate(scenes)}
    refuse_any(scene_faults([scene.name for scene in scenes], infos))
    return infos, [reading.labels(label, f"/labels/{number}") for number, label in enumerate(labels)]


def _entries(scenes: Sequence[SceneFile], infos: Sequence[SceneInfo], split: Split) -> list[DatasetScene]:
    divided = shares([scene.name for scene in scenes], [(info.rows, info.cols) for info in infos], split)
    grids = [Grid(info.rows, info.cols, Affine(*info.transform), crs_from_wkt(info.crs)) for info in infos]
    return [DatasetScene(*each) for each in zip(scenes, grids, divided, strict=True)]


def _measured(entries: Sequence[DatasetScene], method: Method, watch: Watch) -> tuple[list[DatasetScene], Homogenise]:
    """The scenes with their radiometry, and the mean radiometry of those in the training split as their reference."""
    measured = []
    rows = WatchedRows(watch, "measure", sum(entry.grid.rows for entry in entries))
    for entry in entries:
        scene = entry.scene
        with naming(scene.name), RasterSource(scene.path, scene.nodata, scene.bands) as source:
            known = scene.model_copy(update={"radiometry": measure(source, method, rows.of(scene.name))})
        measured.append(replace(entry, scene=known))
    rows.end()
    learnt = [s.scene.radiometry for s in measured if SPLITS.index("train") in s.share.splits and s.scene.radiometry]
    refuse_any(empty_faults({"train": learnt, "val": entries}))
    return measured, Homogenise(method=method, reference=reference_of(learnt))


def _flat_notes(entries: Sequence[DatasetScene], common: Homogenise | None) -> Iterator[Note]:
    """flat_band: Homogenisation does less to a scene than was asked for."""
    for scene in (entry.scene for entry in entries):
        if common and scene.radiometry and (bands := flat_bands(common, scene.radiometry)):
            numbers = ", ".join(map(str, bands))
            why = "most of whose pixels are equal here or in the reference"
            detail = f"{scene.name}: {common.method} only shifts band {numbers}, {why}."
            hint = "Look at these bands: they may be empty or saturated. Leave the scene out, or use another method."
            yield Note(code="flat_band", detail=detail, hint=hint)


def _names(counts: Mapping[str, int]) -> tuple[tuple[str, ...], list[Note]]:
    """The names for band 2 of the masks; if there are more than it can tell apart, no names and a note."""
    if len(counts) <= _MAX_REFERENCES:
        return tuple(counts), []
    detail = f"The labels have {len(counts)} different names, more than {_MAX_REFERENCES}, so masks do not store them."
    hint = "Errors are then not counted by reference class: set class_field to the attribute with the crop."
    return (), [Note(code="too_many_references", detail=detail, hint=hint)]


def _references(names: Sequence[str], layers: Sequence[LabelLayer]) -> list[np.ndarray]:
    """For each layer, the index of each feature in `names`, uint8 (features,), 255 if it is not there.

    The list is empty if there are no names.
    """
    index = {name: number for number, name in enumerate(names)}
    if not index:
        return []
    return [np.array([index.get(name, UNLABELLED) for name in t.legend.names], dtype=np.uint8) for t in layers]


def _write(
    entries: Sequence[DatasetScene],
    layers: Sequence[LabelLayer],
    rules: MaskRules,
    out: Path,
    train: TrainingPixels,
    homogenise: Homogenise | None,
    watch: Watch,
) -> _Written:
    """Write and count the masks of all scenes. train: To this the pixels of the training split are added."""
    written = _Written({name: [] for name in SPLITS}, {name: ClassCounts() for name in SPLITS}, {})
    rows = WatchedRows(watch, "rasterise", sum(entry.grid.rows for entry in entries))
    for entry in entries:
        scene = entry.scene
        with naming(scene.name):
            raster, through = LabelRaster(layers, entry.grid), rows.of(scene.name)
            by_split = write_masks(scene, entry.share, raster, rules, out, train, homogenise, through)
        for name, counts in by_split.items():
            written.splits[name].add(counts.pixels, counts.area_ha)
            if counts.labelled:
                written.masks[name].append(LabelledScene(**scene.model_dump(), mask=mask_path(out, name, scene)))
        if by_split:
            written.scenes[scene.name] = together(by_split.values())
    rows.end()
    return written


def _training_data(written: _Written, contract: Contract, names: tuple[str, ...]) -> TrainingData:
    masks = {name: tuple(scenes) for name, scenes in written.masks.items()}
    return TrainingData(contract=contract, references=names, **masks).hashed()


def _unused_notes(scenes: Sequence[str], written: _Written) -> Iterator[Note]:
    """unused_scenes: Scenes of which nothing is learnt or scored."""
    used = {scene.name for labelled in written.masks.values() for scene in labelled}
    if unused := [name for name in scenes if name not in used]:
        detail = f"Nothing of these scenes is used: {first_few(unused)}."
        hint = (
            "They are in no split, or none of their labelled pixels has data. Add them to a split, or leave them out."
        )
        yield Note(code="unused_scenes", detail=detail, hint=hint)


def _contract(
    info: SceneInfo, statistics: tuple[BandStatistics, ...], classes: Sequence[ClassDef], common: Homogenise | None
) -> Contract:
    """The input contract of a model that is trained on this dataset."""
    known = {"statistics": statistics, "classes": tuple(classes), "homogenise": common}
    return contract_of(info).model_copy(update=known)
