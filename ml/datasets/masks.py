"""Masks: write the labels of each scene as one raster for each split, and count their classes."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ml.contract import UNLABELLED, Homogenise
from ml.data import SceneFile
from ml.datasets.class_counts import ClassCounts
from ml.datasets.splits import NO_SPLIT, SPLITS, Owners, Share
from ml.datasets.training_pixels import TrainingPixels
from ml.geo.areas import count_by_class, window_areas
from ml.geo.watched import Through, unwatched
from ml.geo.windows import blocks
from ml.labels.rasterise import BLOCK_PX, LabelRaster, MaskFile, RasterisedLabels
from ml.radiometry.homogenise import open_homogenised


@dataclass(frozen=True)
class MaskRules:
    """How rasterised features become a mask; both fields have one array for each layer of labels.

    only: The one split in which each feature may be labelled, int8 (features,), -1 for any; if empty, every feature may
    be labelled in any split. references: Value of band 2 for each feature, uint8 (features,); if empty, there is no
    band 2.
    """

    only: Sequence[np.ndarray] = ()
    references: Sequence[np.ndarray] = ()

    @property
    def bands(self) -> int:
        """Number of bands in a mask."""
        return 2 if self.references else 1

    def mask(self, labels: RasterisedLabels, owners: Owners) -> np.ndarray:
        """The mask of all splits together, uint8 (bands, rows, cols)."""
        classes = labels.classes
        if self.only:
            only = labels.look_up(self.only, NO_SPLIT)
            classes = np.where((only == NO_SPLIT) | (only == owners), classes, UNLABELLED)
        if not self.references:
            return classes[None]
        references = labels.look_up(self.references, UNLABELLED)
        return np.stack([classes, np.where(classes == UNLABELLED, UNLABELLED, references)])


def write_masks(
    scene: SceneFile,
    share: Share,
    raster: LabelRaster,
    rules: MaskRules,
    out: Path,
    train: TrainingPixels,
    homogenise: Homogenise | None = None,
    through: Through = unwatched,
) -> dict[str, ClassCounts]:
    """Write the masks of one scene, one for each split that has a part of the scene, and count their classes by split.

    A mask is uint8 on the grid of its scene. Band 1 has class values, and 255 where a pixel is not labelled, is not
    valid or belongs to another split. With names of features, band 2 has the index of the name in
    `TrainingData.references`.

    raster: Labels on the grid of the scene. train: To which the homogenised pixels of the training split are added. A
    mask without a labelled pixel is deleted again. through: Reports progress window by window; may raise `Stopped`.
    """
    by_split = {SPLITS[index]: ClassCounts() for index in share.splits}
    with ExitStack() as stack:
        source = stack.enter_context(open_homogenised(scene, homogenise))
        files = {
            name: stack.enter_context(MaskFile(mask_path(out, name, scene), raster.grid, rules.bands))
            for name in by_split
        }
        for window in through(blocks(source.rows, source.cols, block_px=BLOCK_PX)):
            owners = share.owners(window)
            values = rules.mask(raster.rasterise(window), owners)
            image, valid = source.read(window)
            classes, area_ha = np.where(valid, values[0], UNLABELLED), window_areas(raster.grid, window)
            for name, file in files.items():
                in_split = owners == SPLITS.index(name)
                if in_split.any():  # a block that is not written is unlabelled
                    file.write(np.where(in_split & valid, values, UNLABELLED), window)
                    by_split[name].add(*count_by_class(classes, area_ha, where=in_split))
            train.update(image, valid & (owners == SPLITS.index("train")), classes)
    for name, counts in by_split.items():
        if not counts.labelled:
            mask_path(out, name, scene).unlink()
    return by_split


def mask_path(out: Path, split: str, scene: SceneFile) -> Path:
    """The path of the mask of `scene` for one split."""
    return out / "masks" / split / f"{scene.name}.tif"
