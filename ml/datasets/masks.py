"""Masks: the labels of a scene, divided among the splits, written and counted."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ml.contract import UNLABELLED, Homogenise
from ml.data import SceneFile
from ml.datasets.class_counts import ClassCounts
from ml.datasets.splits import NOBODY, SPLITS, Owners, Share
from ml.geo.areas import count_by_class, row_area_ha
from ml.geo.statistics import ClippedStatistics
from ml.geo.windows import blocks
from ml.labels.rasterise import BLOCK_PX, LabelRaster, MaskFile, RasterisedLabels
from ml.radiometry.homogenise import open_homogenised


@dataclass(frozen=True)
class MaskRules:
    """How a mask is made of painted features, by layer and feature.

    only: int8 (features,), the one split in which a feature may be labelled, -1 for any; empty: every feature in any.
    references: uint8 (features,), what band 2 says; empty: there is no band 2.
    """

    only: Sequence[np.ndarray] = ()
    references: Sequence[np.ndarray] = ()

    @property
    def bands(self) -> int:
        """Of a mask."""
        return 2 if self.references else 1

    def mask(self, painted: RasterisedLabels, owners: Owners) -> np.ndarray:
        """The mask of all splits together, uint8 (bands, rows, cols)."""
        classes = painted.classes
        if self.only:
            only = painted.look_up(self.only, NOBODY)
            classes = np.where((only == NOBODY) | (only == owners), classes, UNLABELLED)
        if not self.references:
            return classes[None]
        references = painted.look_up(self.references, UNLABELLED)
        return np.stack([classes, np.where(classes == UNLABELLED, UNLABELLED, references)])


def write_masks(
    scene: SceneFile,
    share: Share,
    canvas: LabelRaster,
    rules: MaskRules,
    out: Path,
    train: ClippedStatistics,
    homogenise: Homogenise | None = None,
) -> dict[str, ClassCounts]:
    """Write a scene's mask of each split that has a part of it, and count what that holds: by split.

    train: takes in the scene's pixels of the training split, homogenised. A mask without a labelled pixel is not kept.
    """
    tallies = {SPLITS[index]: ClassCounts() for index in share.splits}
    with ExitStack() as stack:
        source = stack.enter_context(open_homogenised(scene, homogenise))
        files = {
            name: stack.enter_context(MaskFile(mask_path(out, name, scene), canvas.grid, rules.bands))
            for name in tallies
        }
        for window in blocks(source.rows, source.cols, block_px=BLOCK_PX):
            owners = share.owners(window)
            values = rules.mask(canvas.rasterise(window), owners)
            image, valid = source.read(window)
            seen, area_ha = np.where(valid, values[0], UNLABELLED), row_area_ha(canvas.grid, window)
            for name, file in files.items():
                mine = owners == SPLITS.index(name)
                if mine.any():  # what is not written is unlabelled
                    file.write(np.where(mine & valid, values, UNLABELLED), window)
                    tallies[name].add(*count_by_class(seen, area_ha, where=mine))
            train.update(image, valid & (owners == SPLITS.index("train")))
    for name, tally in tallies.items():
        if not tally.labelled:
            mask_path(out, name, scene).unlink()
    return tallies


def mask_path(out: Path, split: str, scene: SceneFile) -> Path:
    """Where the mask of a split lies."""
    return out / "masks" / split / f"{scene.name}.tif"
