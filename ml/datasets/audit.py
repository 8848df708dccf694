"""Audit of a dataset before its masks are written: count the labels on the grid of each scene, and find leaks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from ml.contract import UNLABELLED, ClassDef
from ml.data import SceneFile
from ml.datasets.checks import naming
from ml.datasets.feature_counts import FeatureCounts
from ml.datasets.fingerprints import Prints, fingerprints
from ml.datasets.leaks import PlacedScene, drop_shared_fields, duplicate_pixels, overlapping_scenes, shared_fields
from ml.datasets.left_out import LeftOut
from ml.datasets.options import Leaks
from ml.datasets.splits import Share
from ml.faults import Fault, Note, refuse_any
from ml.geo.grid import Grid
from ml.geo.watched import Through, WatchedRows
from ml.geo.windows import blocks
from ml.labels.layers import LabelLayer
from ml.labels.rasterise import BLOCK_PX, LabelRaster, RasteriseReport
from ml.progress import Watch
from ml.scenes.source import RasterSource


@dataclass(frozen=True)
class DatasetScene:
    """A scene of a dataset, its grid, and how its pixels are divided among the splits."""

    scene: SceneFile
    grid: Grid
    share: Share

    @property
    def place(self) -> PlacedScene:
        """The scene as the search for leaks needs it."""
        return PlacedScene(self.scene.name, self.grid, self.share.splits)


@dataclass(frozen=True)
class DrawnPolygons:
    """Polygons of a layer by their numbers: those that touch a scene, and those with a pixel in one."""

    touching: set[int] = field(default_factory=set)
    drawn: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class Audit:
    """What the audit of a dataset found.

    entries: Scenes of the dataset. layers: Layers of labels, in the order of the labels of the dataset.
    feature_counts: Pixels of each feature of the labels in each split. prints: Fingerprints of each scene.
    polygons: What became of the polygons of each layer. left_out: Labels of the scenes of the splits that are not used.
    notes, faults: What is odd or wrong with the labels of single scenes.
    """

    entries: Sequence[DatasetScene]
    layers: Sequence[LabelLayer]
    feature_counts: FeatureCounts
    polygons: list[DrawnPolygons]
    prints: list[Prints] = field(default_factory=list)
    left_out: LeftOut = field(default_factory=LeftOut)
    notes: list[Note] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def audit(
    entries: Sequence[DatasetScene], layers: Sequence[LabelLayer], classes: Sequence[ClassDef], watch: Watch
) -> Audit:
    """Count the labels on every scene and take its fingerprints; `watch` is called before each window and at the end.

    Each scene is read twice, so the rows to be done are twice those of the scenes.

    Raises:
        InputRefused: The faults that `LabelRaster` raises; corrupt_tiff.
    """
    found = Audit(entries, layers, FeatureCounts(len(layers)), [DrawnPolygons() for _ in layers])
    rows = WatchedRows(watch, "audit", 2 * sum(entry.grid.rows for entry in entries))
    for number, entry in enumerate(entries):
        with naming(entry.scene.name):
            report = _count_features(number, found, rows.of(entry.scene.name))
        found.notes.extend(
            note.model_copy(update={"detail": f"{entry.scene.name}: {note.detail}"}) for note in report.overlaps
        )
        found.faults.extend(fault.at(f"/scenes/{number}") for fault in _label_faults(entry.scene, report, classes))
    rows.end()
    found.notes[:] = dict.fromkeys(found.notes)  # a change of datum is the same for many scenes
    for layer, polygons in zip(layers, found.polygons, strict=True):
        found.notes.extend(_lost_polygons(layer, polygons))
    return found


def _lost_polygons(layer: LabelLayer, polygons: DrawnPolygons) -> Iterator[Note]:
    """Yield polygons_without_pixels if polygons of a layer touch a scene but hold the centre of none of its pixels."""
    lost = len(polygons.touching - polygons.drawn)
    if not lost:
        return
    total = len(layer.legend.values)
    detail = (
        f"{lost} of {total} polygons of {layer.name!r} have no pixel in any scene, though they touch one: they are "
        "smaller or narrower than a pixel, or a later polygon covers them. "
        f"{total - len(polygons.touching)} lie in no scene."
    )
    yield Note(code="polygons_without_pixels", detail=detail, hint="They label nothing. Use finer scenes for them.")


def settle_leaks(found: Audit, leaks: Leaks, classes: Sequence[ClassDef]) -> tuple[list[np.ndarray], list[Note]]:
    """Find leaks, by which a net learns from one split what it is scored on in another; refuse, mend or allow them.

    leaks: "refuse" refuses the dataset and names the leaks; "drop" keeps a field of several splits only in the split
    that has most of it, and refuses other leaks; "allow" names the leaks in the notes.

    Returns:
        The arrays of `drop_shared_fields` if fields must be dropped, else an empty list; and one note for each leak
        that was allowed, or one for all fields that were dropped.

    Raises:
        InputRefused: The faults of the audit, and the leaks that are not allowed.
    """
    places = [entry.place for entry in found.entries]
    of_scenes = [*overlapping_scenes(places), *duplicate_pixels(places, found.prints)]
    of_fields = shared_fields(places, found.layers, found.feature_counts)
    if leaks == "allow":
        refuse_any(found.faults)
        return [], [Note(code=leak.code, detail=leak.detail, hint=leak.hint) for leak in (*of_scenes, *of_fields)]
    refuse_any([*found.faults, *of_scenes, *(of_fields if leaks == "refuse" else ())])
    if not of_fields:
        return [], []
    before = found.feature_counts.by_class(found.layers)
    only = drop_shared_fields(found.layers, found.feature_counts)
    lost = before - found.feature_counts.by_class(found.layers)
    which = ", ".join(f"{lost[item.value]:,} px of {item.name}" for item in classes if lost[item.value])
    detail = f"{lost.sum():,} labelled pixels of fields in several splits are now unlabelled: {which}."
    hint = "Each of these fields stays labelled only in the split that has most of its pixels."
    return only, [Note(code=of_fields[0].code, detail=detail, hint=hint)]


def _count_features(number: int, found: Audit, through: Through) -> RasteriseReport:
    """Count the features of the scene at index `number` in `found`, and add the fingerprints of the scene."""
    entry = found.entries[number]
    raster = LabelRaster(found.layers, entry.grid)
    found.notes.extend(raster.datum_notes())
    counts, replaced = np.zeros(256, dtype=np.int64), np.zeros(len(found.layers), dtype=np.int64)
    with RasterSource(entry.scene.path, entry.scene.nodata, entry.scene.bands) as source:
        for window in through(blocks(source.rows, source.cols, block_px=BLOCK_PX)):
            labels = raster.rasterise(window)
            counts += np.bincount(labels.classes.ravel(), minlength=256)
            replaced += labels.replaced
            owners, valid = entry.share.owners(window), source.read_raw(window)[1]
            found.feature_counts.add(number, labels, owners, valid)
            if entry.share.splits:
                found.left_out.add(labels, owners, valid)
        found.prints.append(fingerprints(source, through))
    for layer, rasteriser in raster.rasterisers:
        found.polygons[layer].touching.update(rasteriser.touching.tolist())
        found.polygons[layer].drawn.update(rasteriser.drawn.tolist())
    return raster.report(counts, replaced)


def _label_faults(scene: SceneFile, report: RasteriseReport, classes: Sequence[ClassDef]) -> Iterator[Fault]:
    if not report.labelled:
        hint = "Check the CRS of the labels, add labels for the scene, or leave it out."
        yield Fault("no_overlap", f"No label falls on scene {scene.name!r}.", hint)
    known = {item.value for item in classes} | {UNLABELLED}
    for value in sorted(report.counts.keys() - known):
        detail = f"Labels on scene {scene.name!r} have class {value}, which is not a class of the dataset."
        hint = "Add it to classes, or map it to one of them when you upload the labels."
        yield Fault("unknown_class", detail, hint)
