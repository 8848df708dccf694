"""Scenes decoded once into memory-mapped files, from which chips are cut."""

import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ml.config import TrainConfig
from ml.contract import UNLABELLED, Contract
from ml.data import LabelledScene, TrainingData
from ml.geo.raster import open_raster, rows_of
from ml.geo.watched import Through, WatchedRows, unwatched
from ml.geo.windows import blocks
from ml.nn.masks import class_indices, read_mask, read_references
from ml.nn.training.ranks import Ranks
from ml.progress import Watch
from ml.radiometry.homogenise import SceneSource, open_homogenised
from ml.scenes.source import RasterSource
from ml.text import alike

IMAGE, VALID, MASK, HARD = "image.npy", "valid.npy", "mask.npy", "hard.npy"


@dataclass(frozen=True)
class CachedScene:
    """A decoded scene, from which a chip is cut in well under a millisecond.

    name: Name of the scene.
    image: Pixels in the units of the contract's statistics, (bands, rows, cols), 0 where not valid. The dtype is that
        of the file if it holds the values exactly, else float32. The bands of a pixel lie side by side, so that a chip
        touches few memory pages.
    valid: Whether each pixel has data, bool (rows, cols).
    mask: Indices into the contract's classes, uint8 (rows, cols); 255 where a pixel is unlabelled or not valid.
    hard: Whether the labels name a look-alike crop that is to be drawn more often, bool (rows, cols); None if no
        look-alike crops were asked for.
    """

    name: str
    image: np.ndarray
    valid: NDArray[np.bool_]
    mask: NDArray[np.uint8]
    hard: NDArray[np.bool_] | None = None


@contextmanager
def decoded_split(
    data: TrainingData, config: TrainConfig, scratch: Path, watch: Watch, ranks: Ranks
) -> Iterator[list[CachedScene]]:
    """Decode the scenes of the training split into the folder `scratch`, on all ranks together.

    `scratch` is removed at the end of the context.
    """
    names = set(map(alike, config.hard_negatives))
    hard = [index for index, name in enumerate(data.references) if alike(name) in names]
    folders = [(scene, scratch / str(number)) for number, scene in enumerate(data.train)]

    def clear() -> None:
        shutil.rmtree(scratch, ignore_errors=True)

    def decode() -> None:
        own = folders[ranks.share(len(folders))]
        rows = WatchedRows(watch, "decode", sum(rows_of(scene.path) for scene, _ in own))
        for scene, folder in own:
            cache_scene(scene, data.contract, folder, hard=hard, through=rows.of(scene.name))
        rows.end()

    ranks.first_does(clear)  # removes the files of an attempt that was killed
    try:
        ranks.together(decode)
        yield [open_cached(scene.name, folder) for scene, folder in folders]
    finally:
        if ranks.first:
            clear()


def cache_scene(
    scene: LabelledScene,
    contract: Contract,
    folder: Path,
    *,
    hard: Collection[int] = (),
    through: Through = unwatched,
) -> CachedScene:
    """Decode `scene` and its mask block by block into files in `folder`, which must not exist.

    hard: Indices of the reference classes that are look-alike crops. through: Reports progress window by window;
        may raise `Stopped`.
    """
    folder.mkdir(parents=True)
    indices = class_indices(contract.classes)
    with open_homogenised(scene, contract.homogenise) as source, open_raster(scene.mask) as labels:
        size = (source.rows, source.cols)
        image = _new(folder / IMAGE, _exact_dtype(source), (*size, source.bands)).transpose(2, 0, 1)
        valid = _new(folder / VALID, np.dtype(np.bool_), size)
        mask = _new(folder / MASK, np.dtype(np.uint8), size)
        look_alike = _new(folder / HARD, np.dtype(np.bool_), size) if hard else None
        for block in through(blocks(*size, block_px=1024)):
            pixels, valid[block.slices] = source.read(block)
            if valid[block.slices].any():  # else all are 0, which takes no room on the disk
                image[:, *block.slices] = pixels
            mask[block.slices] = np.where(valid[block.slices], indices[read_mask(labels, block)], UNLABELLED)
            if look_alike is not None:
                look_alike[block.slices] = np.isin(read_references(labels, block), list(hard))
    return open_cached(scene.name, folder)


def open_cached(name: str, folder: Path) -> CachedScene:
    """Open the scene called `name` that a process has decoded into `folder`.

    All processes that open it share its memory.
    """
    image, valid, mask = (_mapped(folder / file) for file in (IMAGE, VALID, MASK))
    hard = _mapped(folder / HARD) if (folder / HARD).exists() else None
    return CachedScene(name, image.transpose(2, 0, 1), valid, mask, hard)


def _mapped(path: Path) -> np.ndarray:
    """Map a file into memory as a plain array, because slicing a `numpy.memmap` takes longer."""
    return np.asarray(np.load(path, mmap_mode="r"))


def _new(path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    return np.lib.format.open_memmap(path, "w+", dtype, shape)


def _exact_dtype(source: SceneSource) -> np.dtype:
    """Return the dtype of the file if float32 can hold all of its values and they are used unchanged; else float32."""
    if not isinstance(source, RasterSource):
        return np.dtype(np.float32)
    plain = set(source.dataset.scales) == {1.0} and set(source.dataset.offsets) == {0.0}
    return source.dtype if plain and source.dtype.itemsize <= 2 else np.dtype(np.float32)
