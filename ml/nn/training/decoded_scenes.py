"""Scenes decoded once into memory-mapped files, for chips to be cut from."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ml.contract import UNLABELLED, Contract
from ml.data import LabelledScene
from ml.geo.raster import open_raster
from ml.geo.windows import blocks
from ml.nn.masks import class_indices, read_mask, read_references
from ml.radiometry.homogenise import SceneSource, open_homogenised
from ml.scenes.source import RasterSource

IMAGE, VALID, MASK, HARD = "image.npy", "valid.npy", "mask.npy", "hard.npy"


@dataclass(frozen=True)
class CachedScene:
    """A scene from which a chip is cut in well under a millisecond.

    name: of the scene. image: (bands, rows, cols) in the units of the contract's statistics, in the file's own type
    where that loses nothing, 0 where not valid; the bands of a pixel lie together, so that a chip is few pages. valid:
    bool (rows, cols). mask: uint8 (rows, cols), index into the contract's classes, 255 where unlabelled or not valid.
    hard: bool (rows, cols), where the labels name a look-alike that is to be drawn more often; None without any.
    """

    name: str
    image: np.ndarray
    valid: NDArray[np.bool_]
    mask: NDArray[np.uint8]
    hard: NDArray[np.bool_] | None = None


def cache_scene(scene: LabelledScene, contract: Contract, folder: Path, *, hard: Collection[int] = ()) -> CachedScene:
    """Decode `scene` and its mask into files in the new `folder`, block by block. hard: reference classes, by index."""
    folder.mkdir(parents=True)
    indices = class_indices(contract.classes)
    with open_homogenised(scene, contract.homogenise) as source, open_raster(scene.mask) as labels:
        size = (source.rows, source.cols)
        image = _new(folder / IMAGE, _exact_dtype(source), (*size, source.bands)).transpose(2, 0, 1)
        valid = _new(folder / VALID, np.dtype(np.bool_), size)
        mask = _new(folder / MASK, np.dtype(np.uint8), size)
        look_alike = _new(folder / HARD, np.dtype(np.bool_), size) if hard else None
        for block in blocks(*size, block_px=1024):
            image[:, *block.slices], valid[block.slices] = source.read(block)
            mask[block.slices] = np.where(valid[block.slices], indices[read_mask(labels, block)], UNLABELLED)
            if look_alike is not None:
                look_alike[block.slices] = np.isin(read_references(labels, block), list(hard))
    return open_cached(scene.name, folder)


def open_cached(name: str, folder: Path) -> CachedScene:
    """The scene called `name` that some process has decoded into `folder`; its memory is shared by all that open it."""
    image, valid, mask = (_mapped(folder / file) for file in (IMAGE, VALID, MASK))
    hard = _mapped(folder / HARD) if (folder / HARD).exists() else None
    return CachedScene(name, image.transpose(2, 0, 1), valid, mask, hard)


def _mapped(path: Path) -> np.ndarray:
    """A plain array: each cut from numpy's memmap would make another object of that class, which takes longer."""
    return np.asarray(np.load(path, mmap_mode="r"))


def _new(path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    return np.lib.format.open_memmap(path, "w+", dtype, shape)


def _exact_dtype(source: SceneSource) -> np.dtype:
    """The file's own type where float32 holds each of its values and nothing is done to them; else float32."""
    if not isinstance(source, RasterSource):
        return np.dtype(np.float32)
    plain = set(source.dataset.scales) == {1.0} and set(source.dataset.offsets) == {0.0}
    return source.dtype if plain and source.dtype.itemsize <= 2 else np.dtype(np.float32)
