"""The first look at a dataset: labels on the grid of every scene, counted but not yet written, and leaks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from ml.contract import UNLABELLED, ClassDef
from ml.data import SceneFile
from ml.datasets.checks import naming
from ml.datasets.feature_counts import FeatureCounts
from ml.datasets.fingerprints import Prints, fingerprints
from ml.datasets.leaks import PlacedScene, drop_shared_fields, duplicate_pixels, overlapping_scenes, shared_fields
from ml.datasets.options import Leaks
from ml.datasets.splits import Share
from ml.faults import Fault, Note, refuse_any
from ml.geo.grid import Grid
from ml.geo.windows import blocks
from ml.labels.layers import LabelLayer
from ml.labels.rasterise import BLOCK_PX, LabelRaster, RasteriseReport
from ml.progress import Progress, Watch
from ml.scenes.source import RasterSource


@dataclass(frozen=True)
class DatasetScene:
    """A scene, its grid, and how it is divided among the splits."""

    scene: SceneFile
    grid: Grid
    share: Share

    @property
    def place(self) -> PlacedScene:
        """For the audit."""
        return PlacedScene(self.scene.name, self.grid, self.share.splits)


@dataclass(frozen=True)
class Audit:
    """census: of the features of all labels. prints: fingerprints of each scene. notes, faults: of the labels there."""

    sites: Sequence[DatasetScene]
    truths: Sequence[LabelLayer]
    feature_counts: FeatureCounts
    prints: list[Prints] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def audit(
    sites: Sequence[DatasetScene], truths: Sequence[LabelLayer], classes: Sequence[ClassDef], watch: Watch
) -> Audit:
    """Look at every scene with its labels; `watch` hears of each.

    Raises:
        InputRefused: what `LabelRaster` raises; corrupt_tiff.
    """
    found = Audit(sites, truths, FeatureCounts(len(truths)))
    for number, site in enumerate(sites):
        watch(Progress("audit", number, len(sites), site.scene.name))
        with naming(site.scene.name):
            report = _look(number, found)
        found.notes.extend(
            note.model_copy(update={"detail": f"{site.scene.name}: {note.detail}"}) for note in report.overlaps
        )
        found.faults.extend(fault.at(f"/scenes/{number}") for fault in _label_faults(site.scene, report, classes))
    watch(Progress("audit", len(sites), len(sites)))
    return found


def settle_leaks(found: Audit, leaks: Leaks) -> tuple[list[np.ndarray], list[Note]]:
    """Look for leaks between the splits, and do with them as `leaks` says: see `ml.datasets.prepare.prepare`.

    Returns:
        What `drop_shared_fields` gives, if fields must be dropped, else nothing; and what was tolerated or mended.

    Raises:
        InputRefused: with the survey's faults and the leaks that are not tolerated.
    """
    places = [site.place for site in found.sites]
    of_scenes = [*overlapping_scenes(places), *duplicate_pixels(places, found.prints)]
    of_fields = shared_fields(places, found.truths, found.feature_counts)
    if leaks == "allow":
        refuse_any(found.faults)
        return [], [Note(code=leak.code, detail=leak.detail, hint=leak.hint) for leak in (*of_scenes, *of_fields)]
    refuse_any([*found.faults, *of_scenes, *(of_fields if leaks == "refuse" else ())])
    if not of_fields:
        return [], []
    before = found.feature_counts.pixels
    only = drop_shared_fields(found.truths, found.feature_counts)
    detail = f"{before - found.feature_counts.pixels:,} labelled pixels of fields in several splits are unlabelled now."
    hint = "Each of these fields is left to the split that has most of it."
    return only, [Note(code=of_fields[0].code, detail=detail, hint=hint)]


def _look(number: int, found: Audit) -> RasteriseReport:
    """Add scene number `number` to the census and its fingerprints to the others."""
    site = found.sites[number]
    canvas = LabelRaster(found.truths, site.grid)
    counts, replaced = np.zeros(256, dtype=np.int64), np.zeros(len(found.truths), dtype=np.int64)
    with RasterSource(site.scene.path, site.scene.nodata) as source:
        for window in blocks(source.rows, source.cols, block_px=BLOCK_PX):
            painted = canvas.rasterise(window)
            counts += np.bincount(painted.classes.ravel(), minlength=256)
            replaced += painted.replaced
            found.feature_counts.add(number, painted, site.share.owners(window), source.read_raw(window)[1])
        found.prints.append(fingerprints(source))
    return canvas.report(counts, replaced)


def _label_faults(scene: SceneFile, report: RasteriseReport, classes: Sequence[ClassDef]) -> Iterator[Fault]:
    if not report.labelled:
        hint = "Check the CRS of the labels, add labels for the scene, or leave it out."
        yield Fault("no_overlap", f"No label falls on scene {scene.name!r}.", hint)
    known = {item.value for item in classes} | {UNLABELLED}
    for value in sorted(report.counts.keys() - known):
        detail = f"Labels on scene {scene.name!r} have class {value}, which the dataset does not name."
        hint = "Name it in classes, or map it to one of them when you send the labels."
        yield Fault("unknown_class", detail, hint)
