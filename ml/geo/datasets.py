"""Datasets: labels on the grids of scenes, split, counted and described."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window as RasterioWindow

from ml.contract import ClassDef, Contract
from ml.data import LabelledScene, SceneFile, TrainingData
from ml.faults import Fault, InputRefused, refuse_any
from ml.geo.areas import count_by_class, row_area_ha
from ml.geo.burn import BurnReport, burn_truths
from ml.geo.classes import UNLABELLED, LabelOptions
from ml.geo.fits import contract_faults
from ml.geo.grid import grid_of
from ml.geo.notes import Note
from ml.geo.scene import SceneInfo, inspect_scene
from ml.geo.source import RasterSource
from ml.geo.splits import SPLITS, Blocks, BlockSplit, SceneSplit, assign_blocks, owned
from ml.geo.statistics import Moments
from ml.geo.truth import Truth, open_truth
from ml.geo.windows import Window, blocks
from ml.model import Frozen
from ml.progress import Progress, Watch, silent

_BLOCK_PX = 1024
Split = SceneSplit | BlockSplit
SplitStatistics = dict[str, dict[str, float | None]]


class LabelFile(Frozen):
    """A layer of truth on disk, and how to read it."""

    name: str
    path: Path
    options: LabelOptions = LabelOptions()


@dataclass(frozen=True)
class Prepared:
    """A dataset ready to train on.

    training_data: the scenes as they were given, with the masks just written. statistics: by split what its pixels
    hold, {"pixels": {class name: n}, "fraction": {...}, "area_ha": {...}}; "unlabelled" counts pixels that are not
    valid, too, and has no fraction: fractions are those of the labelled pixels, null where there is none.
    notes: what the owner should look at.
    """

    training_data: TrainingData
    statistics: dict[str, SplitStatistics]
    notes: tuple[Note, ...]


def prepare(
    scenes: Sequence[SceneFile],
    labels: Sequence[LabelFile],
    split: Split,
    classes: Sequence[ClassDef],
    out: Path,
    watch: Watch = silent,
) -> Prepared:
    """Put the labels on the grid of every scene, and give each split its part: `out`/masks/{split}/{scene}.tif.

    A mask is uint8 on the scene's own grid: class values, and 255 where nothing is labelled or another split has it.
    A scene without a labelled pixel in a split has no mask there. Labels find their scenes by location; where two
    layers overlap, the later one counts. `watch` hears of each scene.

    Raises:
        InputRefused: with every fault found. Codes: what `inspect_scene` and `open_truth` raise; split_overlap,
            unknown_scenes; wrong_bands, wrong_dtype, bad_resolution between the scenes; no_overlap, a scene without any
            label; unknown_class; too_few_blocks; empty_split, no labels in train or val; no_valid_pixels.
    """
    refuse_any(_split_faults(split, scenes))
    infos = [_inspected(scene, f"/scenes/{number}") for number, scene in enumerate(scenes)]
    refuse_any(_scene_faults(scenes, infos))
    truths = [_opened(label, f"/labels/{number}") for number, label in enumerate(labels)]
    shares = _shares(scenes, infos, split)
    tallies = {name: _Tally(len(infos[0].bands)) for name in SPLITS}
    notes, faults = list[Note](), list[Fault]()
    for done, (scene, share) in enumerate(zip(scenes, shares, strict=True)):
        watch(Progress("rasterise", done, len(scenes), scene.name))
        report = _divide(scene, share, truths, tallies, out)
        notes += [note.model_copy(update={"detail": f"{scene.name}: {note.detail}"}) for note in report.overlaps]
        faults += [fault.at(f"/scenes/{done}") for fault in _burn_faults(scene, report, classes)]
    watch(Progress("rasterise", len(scenes), len(scenes)))
    refuse_any(faults)
    refuse_any(_tally_faults(tallies))
    return Prepared(
        TrainingData(
            contract=_contract(infos[0], tallies["train"], classes),
            **{name: tuple(tally.scenes) for name, tally in tallies.items()},
        ),
        {name: tally.statistics(classes) for name, tally in tallies.items()},
        (*notes, *_balance_notes(tallies["train"], classes)),
    )


@dataclass(frozen=True)
class _Share:
    """Which pixels of one scene belong to each split: all to one, or by blocks."""

    scene: str
    shape: tuple[int, int]
    split: Split
    blocks: Blocks | None

    def has(self, index: int) -> bool:
        """Whether any pixel belongs to split number `index`."""
        if isinstance(self.split, SceneSplit) or self.blocks is None:
            return self.scene in getattr(self.split, SPLITS[index])
        return bool((self.blocks == index).any())

    def of(self, index: int, window: Window) -> np.ndarray:
        """The pixels of `window` that belong to split number `index`, bool (rows, cols)."""
        if isinstance(self.split, SceneSplit) or self.blocks is None:
            return np.full((window.rows, window.cols), self.has(index))
        return owned(self.blocks, index, window, self.shape, self.split)


@dataclass
class _Tally:
    """What has been found in one split so far."""

    bands: int
    scenes: list[LabelledScene] = field(default_factory=list)
    pixels: np.ndarray = field(default_factory=lambda: np.zeros(256, dtype=np.int64))
    area_ha: np.ndarray = field(default_factory=lambda: np.zeros(256))

    def __post_init__(self) -> None:
        self.moments = Moments(self.bands)

    def statistics(self, classes: Sequence[ClassDef]) -> SplitStatistics:
        """For a dataset's document."""
        values = {item.name: item.value for item in classes}
        labelled = int(sum(self.pixels[value] for value in values.values()))
        everything = values | {"unlabelled": UNLABELLED}
        return {
            "pixels": {name: int(self.pixels[value]) for name, value in everything.items()},
            "fraction": {n: float(self.pixels[v] / labelled) if labelled else None for n, v in values.items()},
            "area_ha": {name: float(self.area_ha[value]) for name, value in everything.items()},
        }


def _inspected(scene: SceneFile, pointer: str) -> SceneInfo:
    try:
        return inspect_scene(scene.path, bands=scene.bands, nodata=scene.nodata)
    except InputRefused as refused:
        raise InputRefused(*(_named(fault, scene.name).at(pointer) for fault in refused.faults)) from None


def _opened(label: LabelFile, pointer: str) -> Truth:
    try:
        return open_truth(label.path, label.options, label.name)
    except InputRefused as refused:
        raise InputRefused(*(_named(fault, label.name).at(pointer) for fault in refused.faults)) from None


def _named(fault: Fault, name: str) -> Fault:
    return replace(fault, detail=f"{name}: {fault.detail}")


def _split_faults(split: Split, scenes: Sequence[SceneFile]) -> Iterator[Fault]:
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


def _scene_faults(scenes: Sequence[SceneFile], infos: Sequence[SceneInfo]) -> Iterator[Fault]:
    """Scenes of one dataset must fit one model: all are compared with the first."""
    first = infos[0]
    names = tuple(band.name for band in first.bands)
    contract = Contract(bands=names, dtype=first.dtype, gsd=first.gsd, nodata=first.nodata, statistics=())
    for number, (scene, info) in enumerate(zip(scenes, infos, strict=True)):
        for fault in contract_faults(info, contract, f"{scenes[0].name} has"):
            yield _named(fault, scene.name).at(f"/scenes/{number}")


def _shares(scenes: Sequence[SceneFile], infos: Sequence[SceneInfo], split: Split) -> list[_Share]:
    shapes = [(info.rows, info.cols) for info in infos]
    dealt = assign_blocks(shapes, split) if isinstance(split, BlockSplit) else [None] * len(scenes)
    each = zip(scenes, shapes, dealt, strict=True)
    return [_Share(scene.name, shape, split, part) for scene, shape, part in each]


def _divide(
    scene: SceneFile, share: _Share, truths: Sequence[Truth], tallies: dict[str, _Tally], out: Path
) -> BurnReport:
    """Put the labels on the grid of a scene, write the mask of each split, and count."""
    out.mkdir(parents=True, exist_ok=True)
    burnt = out / "burnt.tif"
    try:
        report = burn_truths(truths, scene.path, burnt)
        for index, name in enumerate(SPLITS):
            if share.has(index):
                _write_mask(scene, burnt, share, index, out / "masks" / name / f"{scene.name}.tif", tallies[name])
    except InputRefused as refused:
        raise InputRefused(*(_named(fault, scene.name) for fault in refused.faults)) from None
    finally:
        burnt.unlink(missing_ok=True)
    return report


def _write_mask(scene: SceneFile, burnt: Path, share: _Share, index: int, mask: Path, tally: _Tally) -> None:
    """Write the mask of one split and add what it holds to the tally; no file, when nothing in it is labelled."""
    mask.parent.mkdir(parents=True, exist_ok=True)
    labelled = False
    with RasterSource(scene.path, scene.nodata) as source, RasterSource(burnt) as truth:
        grid = grid_of(source.dataset)
        with rasterio.open(mask, "w", **truth.dataset.profile) as file:
            for window in blocks(source.rows, source.cols, block_px=_BLOCK_PX):
                mine = share.of(index, window)
                if not mine.any():  # GDAL fills what is not written with nodata: 255
                    continue
                values = np.where(mine, truth.read_raw(window)[0][0], UNLABELLED)
                file.write(values, 1, window=RasterioWindow(window.col, window.row, window.cols, window.rows))
                image, valid = source.read(window)
                seen = np.where(valid, values, UNLABELLED)
                pixels, area_ha = count_by_class(seen, row_area_ha(grid, window), where=mine)
                tally.moments.update(image, valid & mine)
                tally.pixels += pixels
                tally.area_ha += area_ha
                labelled |= bool(pixels[:UNLABELLED].any())
    if labelled:
        tally.scenes.append(LabelledScene(**scene.model_dump(), mask=mask))
    else:
        mask.unlink()


def _burn_faults(scene: SceneFile, report: BurnReport, classes: Sequence[ClassDef]) -> Iterator[Fault]:
    if not report.labelled:
        hint = "Check the CRS of the labels, add labels for the scene, or leave it out."
        yield Fault("no_overlap", f"No label falls on scene {scene.name!r}.", hint)
    known = {item.value for item in classes} | {UNLABELLED}
    for value in sorted(report.counts.keys() - known):
        detail = f"Labels on scene {scene.name!r} have class {value}, which the dataset does not name."
        yield Fault("unknown_class", detail, "Name it in classes, or map it to one of them when you send the labels.")


def _tally_faults(tallies: dict[str, _Tally]) -> Iterator[Fault]:
    for name in ("train", "val"):
        if not tallies[name].scenes:
            hint = "Give the split scenes with labels; with blocks take smaller ones."
            yield Fault("empty_split", f"No valid pixel of the split {name!r} is labelled.", hint, f"/split/{name}")


def _balance_notes(train: _Tally, classes: Sequence[ClassDef]) -> Iterator[Note]:
    absent = [item.name for item in classes if not train.pixels[item.value]]
    if absent:
        detail = f"The training split has no pixel of {', '.join(absent)}."
        yield Note(code="single_class", detail=detail, hint="A net cannot learn what it never sees: add such labels.")


def _contract(info: SceneInfo, train: _Tally, classes: Sequence[ClassDef]) -> Contract:
    """What a scene must be like for a model of this dataset."""
    return Contract(
        bands=tuple(band.name for band in info.bands),
        dtype=info.dtype,
        gsd=info.gsd,
        nodata=info.nodata,
        statistics=train.moments.statistics(),
        classes=tuple(classes),
    )
