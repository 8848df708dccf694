"""Datasets: labels on the grids of scenes, split, audited, counted and described."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from affine import Affine

from ml.contract import UNLABELLED, BandStatistics, ClassDef, Contract, Homogenise, Method
from ml.data import LabelledScene, SceneFile, TrainingData
from ml.datasets.audit import DatasetScene, audit, settle_leaks
from ml.datasets.checks import class_faults, empty_faults, naming, scene_faults, split_faults, standard_scene
from ml.datasets.class_counts import ClassCounts, SplitStatistics, together
from ml.datasets.masks import MaskRules, mask_path, write_masks
from ml.datasets.options import Leaks
from ml.datasets.splits import SPLITS, Split, shares
from ml.faults import Note, refuse_any
from ml.frozen import Frozen
from ml.geo.crs import crs_from_wkt
from ml.geo.grid import Grid
from ml.geo.statistics import ClippedStatistics
from ml.labels.classes import LabelOptions
from ml.labels.layers import LabelLayer, open_layer
from ml.labels.rasterise import LabelRaster
from ml.progress import Progress, Watch, silent
from ml.radiometry.measure import measure, reference_of
from ml.scenes.compatibility import contract_of
from ml.scenes.inspect import SceneInfo, inspect_scene
from ml.scenes.source import RasterSource

_MAX_REFERENCES = UNLABELLED  # as many as band 2 of a mask can tell apart


class LabelFile(Frozen):
    """A layer of truth on disk, and how to read it."""

    name: str
    path: Path
    options: LabelOptions = LabelOptions()


@dataclass(frozen=True)
class Prepared:
    """A dataset ready to train on.

    training_data: the scenes as they were given, with the masks just written. statistics: by split what it holds.
    by_scene: the same by scene, of its pixels in any split, without scenes that are in none. total: of all splits.
    references: labelled valid pixels of all splits by what the labels call them, for the names of band 2.
    notes: what the owner should look at.
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
) -> Prepared:
    """Put the labels on the grid of every scene, and give each split its part: `out`/masks/{split}/{scene}.tif.

    A mask is uint8 on the scene's own grid: class values, and 255 where nothing is labelled or valid, or where
    another split has it; in a second band, if the labels name anything, the index of the name in
    `TrainingData.references`. A scene without a labelled pixel in a split has no mask there. Labels find their scenes
    by location; where two layers overlap, the later one counts. `watch` hears of each scene twice: when it is audited
    and when its masks are written.

    leaks: what is done when one split shows what another is asked about. "refuse" refuses the dataset, naming them;
    "drop" leaves a field in several splits to the one that has most of it, and refuses other leaks; "allow" tells them
    in the notes. homogenise: bring all scenes to the mean radiometry of those with a part in the training split. clip:
    let outliers be clipped to the 0.1 and 99.9 percentiles of the training split.

    Raises:
        InputRefused: with every fault found. Codes: what `inspect_scene` and `open_layer` raise; those of
            `class_faults`, `split_faults` and `scene_faults`; no_overlap, a scene without any label; unknown_class;
            too_few_blocks; leak_overlapping_scenes, leak_duplicate_pixels, leak_shared_fields; empty_split, no labels
            in train or val.
    """
    names = [scene.name for scene in scenes]
    refuse_any([*class_faults(classes), *split_faults(split, names)])
    infos = {scene.name: _inspected(scene, f"/scenes/{number}") for number, scene in enumerate(scenes)}
    refuse_any(scene_faults(names, infos))
    standard = infos[standard_scene(infos)]
    truths = [_opened(label, f"/labels/{number}") for number, label in enumerate(labels)]
    sites = _sites(scenes, [*infos.values()], split)
    found = audit(sites, truths, classes, watch)
    only, leak_notes = settle_leaks(found, leaks)
    counts = found.feature_counts.by_reference(truths)
    references, name_notes = _names(counts)
    rules = MaskRules(only, _references(references, truths))
    sites, common = _measured(sites, homogenise, watch) if homogenise else (sites, None)
    written = _write(sites, truths, rules, out, ClippedStatistics(len(standard.bands)), common, watch)
    refuse_any(empty_faults(written.masks))
    return Prepared(
        training_data=_training_data(
            written, _contract(standard, written.train.statistics(clip=clip), classes, common), references
        ),
        statistics={name: tally.statistics(classes) for name, tally in written.splits.items()},
        by_scene={name: tally.statistics(classes) for name, tally in written.scenes.items()},
        total=together(written.splits.values()).statistics(classes),
        references={name: counts[name] for name in references},
        notes=(*found.notes, *leak_notes, *name_notes, *_balance_notes(written.splits["train"], classes)),
    )


@dataclass(frozen=True)
class _Written:
    """masks: by split the scenes that have one. splits, scenes: what each holds. train: of the training pixels."""

    masks: dict[str, list[LabelledScene]]
    splits: dict[str, ClassCounts]
    scenes: dict[str, ClassCounts]
    train: ClippedStatistics


def _inspected(scene: SceneFile, pointer: str) -> SceneInfo:
    with naming(scene.name, pointer):
        return inspect_scene(scene.path, bands=scene.bands, nodata=scene.nodata)


def _opened(label: LabelFile, pointer: str) -> LabelLayer:
    with naming(label.name, pointer):
        return open_layer(label.path, label.options, label.name)


def _sites(scenes: Sequence[SceneFile], infos: Sequence[SceneInfo], split: Split) -> list[DatasetScene]:
    divided = shares([scene.name for scene in scenes], [(info.rows, info.cols) for info in infos], split)
    grids = [Grid(info.rows, info.cols, Affine(*info.transform), crs_from_wkt(info.crs)) for info in infos]
    return [DatasetScene(*each) for each in zip(scenes, grids, divided, strict=True)]


def _measured(sites: Sequence[DatasetScene], method: Method, watch: Watch) -> tuple[list[DatasetScene], Homogenise]:
    """The scenes with their radiometry, and what they are brought to: the mean of those in the training split."""
    measured = []
    for number, site in enumerate(sites):
        watch(Progress("measure", number, len(sites), site.scene.name))
        with naming(site.scene.name), RasterSource(site.scene.path, site.scene.nodata) as source:
            known = site.scene.model_copy(update={"radiometry": measure(source, method)})
        measured.append(replace(site, scene=known))
    watch(Progress("measure", len(sites), len(sites)))
    learnt = [s.scene.radiometry for s in measured if SPLITS.index("train") in s.share.splits and s.scene.radiometry]
    refuse_any(empty_faults({"train": learnt, "val": sites}))
    return measured, Homogenise(method=method, reference=reference_of(learnt))


def _names(counts: Mapping[str, int]) -> tuple[tuple[str, ...], list[Note]]:
    """The references that band 2 of the masks names; none, and a note, if it could not tell them apart."""
    if len(counts) <= _MAX_REFERENCES:
        return tuple(counts), []
    detail = f"The labels have {len(counts)} different names: more than {_MAX_REFERENCES}, so masks do not hold them."
    hint = "Errors cannot be told apart by reference class then: name the attribute of the crop with class_field."
    return (), [Note(code="too_many_references", detail=detail, hint=hint)]


def _references(names: Sequence[str], truths: Sequence[LabelLayer]) -> list[np.ndarray]:
    """Of each layer the index into `names` of each feature, uint8 (features,), 255 for none; nothing without names."""
    index = {name: number for number, name in enumerate(names)}
    if not index:
        return []
    return [np.array([index.get(name, UNLABELLED) for name in t.legend.names], dtype=np.uint8) for t in truths]


def _write(
    sites: Sequence[DatasetScene],
    truths: Sequence[LabelLayer],
    rules: MaskRules,
    out: Path,
    train: ClippedStatistics,
    homogenise: Homogenise | None,
    watch: Watch,
) -> _Written:
    """Write and count the masks of all scenes."""
    written = _Written({name: [] for name in SPLITS}, {name: ClassCounts() for name in SPLITS}, {}, train)
    for number, site in enumerate(sites):
        scene = site.scene
        watch(Progress("rasterise", number, len(sites), scene.name))
        with naming(scene.name):
            tallies = write_masks(scene, site.share, LabelRaster(truths, site.grid), rules, out, train, homogenise)
        for name, tally in tallies.items():
            written.splits[name].add(tally.pixels, tally.area_ha)
            if tally.labelled:
                written.masks[name].append(LabelledScene(**scene.model_dump(), mask=mask_path(out, name, scene)))
        if tallies:
            written.scenes[scene.name] = together(tallies.values())
    watch(Progress("rasterise", len(sites), len(sites)))
    return written


def _training_data(written: _Written, contract: Contract, names: tuple[str, ...]) -> TrainingData:
    masks = {name: tuple(scenes) for name, scenes in written.masks.items()}
    return TrainingData(contract=contract, references=names, **masks).hashed()


def _balance_notes(train: ClassCounts, classes: Sequence[ClassDef]) -> Iterator[Note]:
    absent = [item.name for item in classes if not train.pixels[item.value]]
    if absent:
        code = "single_class" if len(absent) == len(classes) - 1 else "absent_class"
        detail = f"The training split has no pixel of {', '.join(absent)}."
        yield Note(code=code, detail=detail, hint="A net cannot learn what it never sees: add such labels.")


def _contract(
    info: SceneInfo, statistics: tuple[BandStatistics, ...], classes: Sequence[ClassDef], common: Homogenise | None
) -> Contract:
    """What a scene must be like for a model of this dataset."""
    known = {"statistics": statistics, "classes": tuple(classes), "homogenise": common}
    return contract_of(info).model_copy(update=known)
