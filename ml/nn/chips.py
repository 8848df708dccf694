"""Chips cut from scenes: decoded once, drawn by weight, and the same draw again after any interruption."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ml.config import TrainConfig
from ml.data import LabelledScene
from ml.geo.raster import open_raster
from ml.geo.source import RasterSource
from ml.geo.windows import Window, blocks
from ml.nn.masks import UNLABELLED, read_mask

Mask = NDArray[np.uint8]
Counts = NDArray[np.int64]  # (K, 2): pixels of class 0 and of class 1 in each of K chips
LARGEST_FACTOR = 10.0  # a chip is drawn at most so many times as often as another


@dataclass(frozen=True)
class CachedScene:
    """A scene decoded into memory-mapped arrays, from which a chip is cut in well under a millisecond.

    image: (bands, rows, cols) in physical units, in the file's own type where that loses nothing, 0 where not valid.
    valid: bool (rows, cols). mask: uint8 (rows, cols), 255 where unlabelled or not valid.
    """

    image: np.ndarray
    valid: NDArray[np.bool_]
    mask: Mask


class Place(NamedTuple):
    """The upper left corner of a chip: index of its scene, row and column."""

    scene: int
    row: int
    col: int


class Batch(NamedTuple):
    """image: float32 (N, B, S, S) in physical units. valid: bool (N, S, S). mask: uint8 (N, S, S)."""

    image: Tensor
    valid: Tensor
    mask: Tensor


def cache_scene(scene: LabelledScene, folder: Path) -> CachedScene:
    """Decode `scene` and its mask into files in `folder`, block by block."""
    folder.mkdir(parents=True)
    with RasterSource(scene.path, scene.nodata) as source, open_raster(scene.mask) as labels:
        size = (source.rows, source.cols)
        image = np.memmap(folder / "image", _exact_dtype(source), "w+", shape=(source.bands, *size))
        valid = np.memmap(folder / "valid", np.bool_, "w+", shape=size)
        mask = np.memmap(folder / "mask", np.uint8, "w+", shape=size)
        for block in blocks(*size, block_px=1024):
            image[:, *block.slices], valid[block.slices] = source.read(block)
            mask[block.slices] = np.where(valid[block.slices], read_mask(labels, block), UNLABELLED)
    return CachedScene(image, valid, mask)


def _exact_dtype(source: RasterSource) -> np.dtype:
    """The file's own type where float32 holds each of its values and no scale is applied; else float32."""
    plain = set(source.dataset.scales) == {1.0} and set(source.dataset.offsets) == {0.0}
    return source.dtype if plain and source.dtype.itemsize <= 2 else np.dtype(np.float32)


class ChipSampler:
    """Which chips a training sees, step by step, and the chips themselves.

    In each epoch the scenes are covered anew by a grid of chips at a random offset (the paper's random crop), so that
    chips are counted exactly and each pixel has its turn. What is drawn depends on seed and epoch alone.

    steps: in an epoch; what the config says, or enough to draw each chip as often as its balance wants.
    """

    def __init__(self, scenes: Sequence[CachedScene], config: TrainConfig) -> None:
        self._scenes, self._config = scenes, config
        self.steps = config.steps_per_epoch or self._steps_to_see_all()

    def epoch(self, epoch: int) -> list[list[Place]]:
        """The places of the chips of each step of an epoch; only chips with a labelled pixel."""
        random = np.random.default_rng((self._config.seed, epoch))
        offsets = random.integers(self._config.chip_size, size=(len(self._scenes), 2))
        places, counts = self._cover(offsets)
        drawn = draw(repetitions(counts, self._config.balance), self.steps * self._config.batch_size, random)
        return [[places[i] for i in step] for step in drawn.reshape(-1, self._config.batch_size)]

    def cut(self, places: Sequence[Place]) -> Batch:
        """The chips at `places`; beyond the edge of its scene a chip is not valid and unlabelled."""
        count, size, bands = len(places), self._config.chip_size, len(self._scenes[0].image)
        image = np.zeros((count, bands, size, size), dtype=np.float32)
        valid = np.zeros((count, size, size), dtype=np.bool_)
        mask = np.full((count, size, size), UNLABELLED, dtype=np.uint8)
        for i, place in enumerate(places):
            scene = self._scenes[place.scene]
            inside = Window(place.row, place.col, size, size).clip(*scene.mask.shape)
            image[i, :, : inside.rows, : inside.cols] = scene.image[:, *inside.slices]
            valid[i, : inside.rows, : inside.cols] = scene.valid[inside.slices]
            mask[i, : inside.rows, : inside.cols] = scene.mask[inside.slices]
        return Batch(torch.from_numpy(image), torch.from_numpy(valid), torch.from_numpy(mask))

    def _steps_to_see_all(self) -> int:
        _, counts = self._cover(np.zeros((len(self._scenes), 2), dtype=np.int64))
        return max(1, round(float(repetitions(counts, self._config.balance).sum()) / self._config.batch_size))

    def _cover(self, offsets: NDArray[np.int64]) -> tuple[list[Place], Counts]:
        """The labelled chips of all scenes, each scene's grid moved by its offset (rows, cols), and their counts."""
        size = self._config.chip_size
        places, counts = [], []
        for index, (scene, offset) in enumerate(zip(self._scenes, offsets, strict=True)):
            rows, cols = (_starts(length, size, int(by)) for length, by in zip(scene.mask.shape, offset, strict=True))
            for place in (Place(index, row, col) for row in rows for col in cols):
                chip = scene.mask[place.row : place.row + size, place.col : place.col + size]
                pixels = (np.count_nonzero(chip == 0), np.count_nonzero(chip == 1))
                if any(pixels):
                    places.append(place)
                    counts.append(pixels)
        return places, np.array(counts, dtype=np.int64).reshape(-1, 2)


def _starts(length: int, size: int, offset: int) -> list[int]:
    """Where chips start that cover `length` pixels, moved up by `offset`; those at the ends are pushed inside."""
    return sorted({min(max(start, 0), max(length - size, 0)) for start in range(-offset, length, size)})


def repetitions(counts: Counts, balance: Literal["none", "undersample", "oversample"]) -> NDArray[np.float64]:
    """How often each chip is wanted in an epoch, float64 (K,).

    A chip is rich if its share of the rarer class exceeds that class's share in all. "oversample" wants rich chips
    k >= 1 times and the others once; "undersample" wants rich chips once and the others 1 / k times. k is solved so
    that the pixels of both classes that are drawn become equal, and kept below `LARGEST_FACTOR`.
    """
    rare = int(np.argmin(counts.sum(axis=0)))
    share = counts[:, rare] / counts.sum(axis=1)
    rich = share > counts[:, rare].sum() / counts.sum()
    # of the drawn pixels, k * surplus is what rich chips have more of the rare class, deficit what the others have less
    surplus = float((counts[rich, rare] - counts[rich, 1 - rare]).sum())
    deficit = float((counts[~rich, 1 - rare] - counts[~rich, rare]).sum())
    k = min(max(deficit / surplus, 1.0), LARGEST_FACTOR) if surplus > 0 else LARGEST_FACTOR
    if balance == "oversample":
        return np.where(rich, k, 1.0)
    return np.where(rich, 1.0, 1 / k) if balance == "undersample" else np.ones(len(counts))


def draw(wanted: NDArray[np.float64], draws: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Indices (draws,) of chips, each drawn in proportion to `wanted`, in random order.

    Systematic sampling (Madow 1949): each chip comes up its expected number of times, rounded up or down; with equal
    weights and as many draws as chips, exactly once.
    """
    order = random.permutation(len(wanted))
    ends = np.cumsum(wanted[order])
    hits = (np.arange(draws) + random.random()) * (ends[-1] / draws)
    chosen = np.minimum(np.searchsorted(ends, hits, side="right"), len(wanted) - 1)
    return random.permutation(order[chosen])
