"""Chips: drawn by weight, cut from decoded scenes, and the same draw again after any interruption."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ml.config import TrainConfig
from ml.contract import UNLABELLED, Contract
from ml.datasets.unusable_chips import ChipFault, DroppedChip, chip_fault
from ml.faults import Fault, refuse_any
from ml.geo.windows import Window, blocks
from ml.nn.training.balance import Counts, draw, extra_copies, repetitions
from ml.nn.training.decoded_scenes import CachedScene

HARD_FACTOR = 3.0  # how much more often a chip with a look-alike crop is drawn


class ChipPosition(NamedTuple):
    """The upper left corner of a chip: index of its scene, row and column.

    extra: a further copy in the exact mode of balancing, which shows only the rarer class.
    """

    scene: int
    row: int
    col: int
    extra: bool = False


class Batch(NamedTuple):
    """image: (N, B, S, S), channels last in memory, in the units of the contract's statistics. valid: bool (N, S, S).

    It has the type of the scenes, mostly uint8 or uint16: half or a quarter of what float32 would cost to copy.
    mask: uint8 (N, S, S), class indices. fixed: bool (N,), the chips that no augmentation may touch.
    """

    image: Tensor
    valid: Tensor
    mask: Tensor
    fixed: Tensor


@dataclass(frozen=True)
class _Cover:
    """Chips that cover the labelled parts of all scenes. counts: (C, K) labelled pixels. hard: bool (C,)."""

    places: list[ChipPosition]
    counts: Counts
    hard: NDArray[np.bool_]
    dropped: list[DroppedChip]


class ChipSampler:
    """Which chips a training sees, step by step, and the chips themselves.

    In each epoch the scenes are covered anew by a grid of chips at a random offset (the paper's random crop), so that
    chips are counted exactly and each pixel has its turn. What is drawn depends on seed and epoch alone.

    steps: in an epoch; what the config says, or enough to draw each chip as often as its balance wants.
    dropped: the chips of the grid at the origin that are not used, and why.

    Raises:
        InputRefused: no_usable_chips, all of them would be dropped.
    """

    def __init__(self, scenes: Sequence[CachedScene], config: TrainConfig, contract: Contract) -> None:
        self._scenes, self._config, self._contract = scenes, config, contract
        self._dtype = np.result_type(*(scene.image for scene in scenes))
        self._classes = len(contract.classes)
        self._a_step = config.batch_size * config.accumulate
        self._exact = config.balance == "oversample_exact"
        self._at_origin = self._cover(np.zeros((len(scenes), 2), dtype=np.int64))
        self.dropped = tuple(self._at_origin.dropped)
        refuse_any(_cover_faults(self._at_origin))
        self.steps = config.steps_per_epoch or self._steps_to_see_all(self._at_origin)
        self._rare = int(np.argmin(self._at_origin.counts.sum(axis=0)))

    def epoch(self, epoch: int) -> list[list[ChipPosition]]:
        """The places of the chips of each step of an epoch; only chips with a labelled pixel."""
        random = np.random.default_rng((self._config.seed, epoch))
        offsets = random.integers(self._config.chip_size, size=(len(self._scenes), 2))
        cover = self._cover(offsets if "crop" in self._config.augment else np.zeros_like(offsets))
        cover = cover if cover.places else self._at_origin
        draws = self.steps * self._a_step
        places = self._exactly(cover, draws, random) if self._exact else self._drawn(cover, draws, random)
        return [places[start : start + self._a_step] for start in range(0, draws, self._a_step)]

    def cut(self, places: Sequence[ChipPosition]) -> Batch:
        """The chips at `places`; beyond the edge of its scene a chip is not valid and unlabelled."""
        count, size, bands = len(places), self._config.chip_size, len(self._scenes[0].image)
        image = np.empty((count, size, size, bands), dtype=self._dtype).transpose(0, 3, 1, 2)
        valid = np.empty((count, size, size), dtype=np.bool_)
        mask = np.empty((count, size, size), dtype=np.uint8)
        for i, place in enumerate(places):
            scene = self._scenes[place.scene]
            inside = Window(place.row, place.col, size, size).clip(*scene.mask.shape)
            if (inside.rows, inside.cols) != (size, size):
                image[i], valid[i], mask[i] = 0, False, UNLABELLED
            image[i, :, : inside.rows, : inside.cols] = scene.image[:, *inside.slices]
            valid[i, : inside.rows, : inside.cols] = scene.valid[inside.slices]
            mask[i, : inside.rows, : inside.cols] = self._labels(place, inside)
        fixed = np.array([self._exact and not place.extra for place in places])
        return Batch(*map(torch.from_numpy, (image, valid, mask, fixed)))

    def pixels(self) -> NDArray[np.int64]:
        """Labelled pixels of each class (K,) in all scenes, as they are."""
        pixels = np.zeros(256, dtype=np.int64)
        for scene in self._scenes:
            for block in blocks(*scene.mask.shape, block_px=1024):
                pixels += np.bincount(scene.mask[block.slices].ravel(), minlength=256)
        return pixels[: self._classes]

    def drawn_pixels(self, epoch: int) -> NDArray[np.int64]:
        """Labelled pixels of each class (K,) in all chips of an epoch, counted by drawing it, before augmentation."""
        size = self._config.chip_size
        pixels = np.zeros(256, dtype=np.int64)
        for place in (place for step in self.epoch(epoch) for place in step):
            inside = Window(place.row, place.col, size, size).clip(*self._scenes[place.scene].mask.shape)
            pixels += np.bincount(self._labels(place, inside).ravel(), minlength=256)
        return pixels[: self._classes]

    def _labels(self, place: ChipPosition, inside: Window) -> NDArray[np.uint8]:
        """What a chip says of its pixels; of an extra copy the rarer class only."""
        labels = self._scenes[place.scene].mask[inside.slices]
        return np.where(labels == self._rare, labels, np.uint8(UNLABELLED)) if place.extra else labels

    def _drawn(self, cover: _Cover, draws: int, random: np.random.Generator) -> list[ChipPosition]:
        return [cover.places[i] for i in draw(self._wanted(cover), draws, random)]

    def _exactly(self, cover: _Cover, draws: int, random: np.random.Generator) -> list[ChipPosition]:
        """Each chip at the origin once, as it is, and as many extra copies of chips of `cover` as there is room for."""
        _, wanted = extra_copies(cover.counts)
        originals = self._at_origin.places
        extra = [cover.places[i] for i in draw(wanted, draws - len(originals), random)]
        places = [*originals, *(place._replace(extra=True) for place in extra)]
        return [places[i] for i in random.permutation(len(places))]

    def _wanted(self, cover: _Cover) -> NDArray[np.float64]:
        return repetitions(cover.counts, self._config.balance) * np.where(cover.hard, HARD_FACTOR, 1.0)

    def _steps_to_see_all(self, cover: _Cover) -> int:
        if self._exact:
            copies, _ = extra_copies(cover.counts)
            return -(-(len(cover.places) + copies) // self._a_step)
        return max(1, round(float(self._wanted(cover).sum()) / self._a_step))

    def _cover(self, offsets: NDArray[np.int64]) -> _Cover:
        """The usable labelled chips of all scenes, each scene's grid moved by its offset (rows, cols)."""
        size = self._config.chip_size
        places, counts, hard, dropped = (
            list[ChipPosition](),
            list[NDArray[np.int64]](),
            list[bool](),
            list[DroppedChip](),
        )
        for place in self._grid(offsets):
            scene = self._scenes[place.scene]
            chip = np.s_[place.row : place.row + size, place.col : place.col + size]
            pixels = np.bincount(scene.mask[chip].ravel(), minlength=self._classes)[: self._classes]
            if not pixels.any():
                continue
            if fault := self._fault(scene, chip):
                dropped.append(DroppedChip(scene=scene.name, row=place.row, col=place.col, why=fault))
                continue
            places.append(place)
            counts.append(pixels)
            hard.append(scene.hard is not None and bool(scene.hard[chip].any()))
        return _Cover(places, np.array(counts, dtype=np.int64).reshape(-1, self._classes), np.array(hard), dropped)

    def _grid(self, offsets: NDArray[np.int64]) -> Iterator[ChipPosition]:
        """Places that cover every scene."""
        size = self._config.chip_size
        for index, (scene, offset) in enumerate(zip(self._scenes, offsets, strict=True)):
            once = self._exact and not offset.any()
            rows, cols = (
                _starts(length, size, int(by), once=once) for length, by in zip(scene.mask.shape, offset, strict=True)
            )
            yield from (ChipPosition(index, row, col) for row in rows for col in cols)

    def _fault(self, scene: CachedScene, chip: tuple[slice, slice]) -> ChipFault | None:
        image, valid = scene.image[:, *chip], scene.valid[chip]
        return chip_fault(image, valid, self._contract.statistics, min_valid=self._config.min_valid)


def _starts(length: int, size: int, offset: int, *, once: bool) -> list[int]:
    """Where chips start that cover `length` pixels, moved up by `offset`.

    Those at the ends are pushed inside; with `once`, which wants no pixel in two chips, they reach beyond the end.
    """
    if once:
        return list(range(0, length, size))
    return sorted({min(max(start, 0), max(length - size, 0)) for start in range(-offset, length, size)})


def _cover_faults(cover: _Cover) -> Iterator[Fault]:
    if not cover.places:
        detail = f"All {len(cover.dropped)} chips are dropped: {', '.join(sorted({c.why for c in cover.dropped}))}."
        hint = "Lower min_valid, or look at the scenes: are they clouded, or is their nodata wrong?"
        yield Fault("no_usable_chips", detail, hint, "/min_valid")
