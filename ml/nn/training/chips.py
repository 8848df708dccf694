"""Chips: drawn by sampling weights and cut from decoded scenes; a resumed training draws the same chips again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ml.config import TrainConfig
from ml.contract import UNLABELLED, Contract
from ml.datasets.unusable_chips import GUESSED, MOST, ChipFault, DroppedChip, chip_fault
from ml.faults import Fault, refuse_any
from ml.geo.windows import Window, blocks
from ml.nn.training.balance import Counts, draw, extra_copies, repetitions
from ml.nn.training.decoded_scenes import CachedScene

HARD_FACTOR = 3.0  # factor of the sampling weight of a chip that contains a look-alike crop


class ChipPosition(NamedTuple):
    """The position of a chip in a scene.

    scene: Index of the scene.
    row, col: Upper left corner of the chip, in pixels.
    extra: Whether the chip is an extra copy in the balance mode "oversample_exact", labelled in the rarer class only.
    """

    scene: int
    row: int
    col: int
    extra: bool = False


class Batch(NamedTuple):
    """A batch of N chips.

    image: Pixels in the units of the contract's statistics, (N, B, S, S), channels last in memory. The dtype is that of
        the scenes, mostly uint8 or uint16, which has a quarter or half of the bytes of float32 to copy.
    valid: Whether each pixel has data, bool (N, S, S).
    mask: Class indices, uint8 (N, S, S); 255 where a pixel is unlabelled or not valid.
    fixed: Whether a chip must not be augmented, bool (N,).
    """

    image: Tensor
    valid: Tensor
    mask: Tensor
    fixed: Tensor


@dataclass(frozen=True)
class _Cover:
    """C chips that cover the labelled pixels of all scenes.

    positions: Positions of the usable chips.
    counts: Numbers of labelled pixels of each of K classes, int64 (C, K).
    hard: Whether a chip contains a look-alike crop that is to be drawn more often, bool (C,).
    dropped: Chips that are not used, with the reasons.
    dropped_pixels: Labelled pixels of each class in these chips, int64 (K,), by the reason.
    """

    positions: list[ChipPosition]
    counts: Counts
    hard: NDArray[np.bool_]
    dropped: list[DroppedChip]
    dropped_pixels: dict[str, NDArray[np.int64]]


class ChipSampler:
    """Chooses the chips of each step of a training, and cuts them from the scenes.

    In each epoch a grid of chips covers the scenes, at a random offset if the config asks for "crop" (the paper's
    random crop). So the pixels of chips are counted exactly and every pixel can be drawn. The draw depends only on
    the seed and the epoch.

    Chips that look constant or like cloud are not used, unless more than half of the labelled pixels of a class are in
    such chips: then the labels say that it is a crop, and all chips with this class are used.

    steps: Number of steps in an epoch: the config's `steps_per_epoch`, or as many as draw each chip as often as the
        balance mode demands.
    dropped: Chips of the grid without an offset that are not used, with the reasons.
    dropped_pixels: Labelled pixels of each class in these chips, int64 (K,), by the reason.
    kept_pixels: The same for the chips that look unusable and are used.
    seen_pixels: Labelled pixels of each class in the chips that are used, int64 (K,).
    has_hard: Whether a chip with a look-alike crop is used.

    Raises:
        InputRefused: code `no_usable_chips`: no chip is usable.
    """

    def __init__(self, scenes: Sequence[CachedScene], config: TrainConfig, contract: Contract) -> None:
        self._scenes, self._config, self._contract = scenes, config, contract
        self._dtype = np.result_type(*(scene.image for scene in scenes))
        self._classes = len(contract.classes)
        self._chips_per_step = config.batch_size * config.accumulate
        self._exact = config.balance == "oversample_exact"
        origin = np.zeros((len(scenes), 2), dtype=np.int64)
        self._spared = np.zeros(self._classes, dtype=np.bool_)
        strict = self._cover(origin)
        refuse_any(_cover_faults(strict))
        self._spared = _unseen(strict)
        self._at_origin = self._cover(origin) if self._spared.any() else strict
        self.dropped, self.dropped_pixels = tuple(self._at_origin.dropped), self._at_origin.dropped_pixels
        self.kept_pixels = {why: pixels - self.dropped_pixels[why] for why, pixels in strict.dropped_pixels.items()}
        self.seen_pixels = self._at_origin.counts.sum(axis=0)
        self.has_hard = bool(self._at_origin.hard.any())
        self.steps = config.steps_per_epoch or self._steps_for_all(self._at_origin)
        self._rare = int(np.argmin(self._at_origin.counts.sum(axis=0)))

    def epoch(self, epoch: int) -> list[list[ChipPosition]]:
        """Return the positions of the chips of each step of `epoch`; each chip has a labelled pixel."""
        random = np.random.default_rng((self._config.seed, epoch))
        offsets = random.integers(self._config.chip_size, size=(len(self._scenes), 2))
        cover = self._cover(offsets if "crop" in self._config.augment else np.zeros_like(offsets))
        cover = cover if cover.positions else self._at_origin
        draws = self.steps * self._chips_per_step
        positions = self._exactly(cover, draws, random) if self._exact else self._drawn(cover, draws, random)
        return [positions[start : start + self._chips_per_step] for start in range(0, draws, self._chips_per_step)]

    def cut(self, positions: Sequence[ChipPosition]) -> Batch:
        """Cut the chips at `positions`; pixels beyond the edge of the scene are 0, not valid and unlabelled."""
        count, size, bands = len(positions), self._config.chip_size, len(self._scenes[0].image)
        image = np.empty((count, size, size, bands), dtype=self._dtype).transpose(0, 3, 1, 2)
        valid = np.empty((count, size, size), dtype=np.bool_)
        mask = np.empty((count, size, size), dtype=np.uint8)
        for i, position in enumerate(positions):
            scene = self._scenes[position.scene]
            inside = Window(position.row, position.col, size, size).clip(*scene.mask.shape)
            if (inside.rows, inside.cols) != (size, size):
                image[i], valid[i], mask[i] = 0, False, UNLABELLED
            image[i, :, : inside.rows, : inside.cols] = scene.image[:, *inside.slices]
            valid[i, : inside.rows, : inside.cols] = scene.valid[inside.slices]
            mask[i, : inside.rows, : inside.cols] = self._labels(position, inside)
        fixed = np.array([self._exact and not position.extra for position in positions])
        return Batch(*map(torch.from_numpy, (image, valid, mask, fixed)))

    def pixels(self) -> NDArray[np.int64]:
        """Count the labelled pixels of each class in all scenes, without balancing: int64 (K,)."""
        pixels = np.zeros(256, dtype=np.int64)
        for scene in self._scenes:
            for block in blocks(*scene.mask.shape, block_px=1024):
                pixels += np.bincount(scene.mask[block.slices].ravel(), minlength=256)
        return pixels[: self._classes]

    def drawn_pixels(self, epoch: int) -> NDArray[np.int64]:
        """Count the labelled pixels of each class in all chips drawn in `epoch`, before augmentation: int64 (K,)."""
        size = self._config.chip_size
        pixels = np.zeros(256, dtype=np.int64)
        for position in (position for step in self.epoch(epoch) for position in step):
            inside = Window(position.row, position.col, size, size).clip(*self._scenes[position.scene].mask.shape)
            pixels += np.bincount(self._labels(position, inside).ravel(), minlength=256)
        return pixels[: self._classes]

    def _labels(self, position: ChipPosition, inside: Window) -> NDArray[np.uint8]:
        """Return the class indices of a chip in the window `inside`; an extra copy keeps only the rarer class."""
        labels = self._scenes[position.scene].mask[inside.slices]
        return np.where(labels == self._rare, labels, np.uint8(UNLABELLED)) if position.extra else labels

    def _drawn(self, cover: _Cover, draws: int, random: np.random.Generator) -> list[ChipPosition]:
        return [cover.positions[i] for i in draw(self._weights(cover), draws, random)]

    def _exactly(self, cover: _Cover, draws: int, random: np.random.Generator) -> list[ChipPosition]:
        """Draw each chip of the grid without an offset once, and fill up with extra copies of chips of `cover`."""
        _, weights = extra_copies(cover.counts)
        originals = self._at_origin.positions
        extra = [cover.positions[i] for i in draw(weights, draws - len(originals), random)]
        positions = [*originals, *(position._replace(extra=True) for position in extra)]
        return [positions[i] for i in random.permutation(len(positions))]

    def _weights(self, cover: _Cover) -> NDArray[np.float64]:
        return repetitions(cover.counts, self._config.balance) * np.where(cover.hard, HARD_FACTOR, 1.0)

    def _steps_for_all(self, cover: _Cover) -> int:
        if self._exact:
            copies, _ = extra_copies(cover.counts)
            return -(-(len(cover.positions) + copies) // self._chips_per_step)
        return max(1, round(float(self._weights(cover).sum()) / self._chips_per_step))

    def _cover(self, offsets: NDArray[np.int64]) -> _Cover:
        """Return the usable labelled chips of all scenes.

        offsets: By how many (rows, cols) the grid of each scene is moved up and left, int64 (scenes, 2).
        """
        size = self._config.chip_size
        positions, counts, hard, dropped = (
            list[ChipPosition](),
            list[NDArray[np.int64]](),
            list[bool](),
            list[DroppedChip](),
        )
        dropped_pixels: dict[str, NDArray[np.int64]] = {
            why: np.zeros(self._classes, dtype=np.int64) for why in get_args(ChipFault)
        }
        for position in self._grid(offsets):
            scene = self._scenes[position.scene]
            chip = np.s_[position.row : position.row + size, position.col : position.col + size]
            pixels = np.bincount(scene.mask[chip].ravel(), minlength=self._classes)[: self._classes]
            if not pixels.any():
                continue
            fault = self._fault(scene, chip)
            if fault and not (fault in GUESSED and pixels[self._spared].any()):
                dropped_pixels[fault] += pixels
                dropped.append(DroppedChip(scene=scene.name, row=position.row, col=position.col, why=fault))
                continue
            positions.append(position)
            counts.append(pixels)
            hard.append(scene.hard is not None and bool(scene.hard[chip].any()))
        by_chip = np.array(counts, dtype=np.int64).reshape(-1, self._classes)
        return _Cover(positions, by_chip, np.array(hard), dropped, dropped_pixels)

    def _grid(self, offsets: NDArray[np.int64]) -> Iterator[ChipPosition]:
        """Yield the positions of chips that cover every scene."""
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
    """Return the first pixels of chips that cover `length` pixels, on a grid that is moved back by `offset`.

    Chips at both ends are moved inside, where they overlap others. With `once`, `offset` is ignored, no pixel is in two
    chips, and the last chip may reach beyond the end.
    """
    if once:
        return list(range(0, length, size))
    return sorted({min(max(start, 0), max(length - size, 0)) for start in range(-offset, length, size)})


def _unseen(cover: _Cover) -> NDArray[np.bool_]:
    """Find the classes most of whose labelled pixels are in chips that look constant or like cloud, bool (K,)."""
    lost = np.sum([cover.dropped_pixels[why] for why in GUESSED], axis=0)
    pixels = cover.counts.sum(axis=0) + np.sum([*cover.dropped_pixels.values()], axis=0)
    return np.asarray(lost > MOST * pixels)


def _cover_faults(cover: _Cover) -> Iterator[Fault]:
    if not cover.positions:
        detail = f"All {len(cover.dropped)} chips are dropped: {', '.join(sorted({c.why for c in cover.dropped}))}."
        hint = "Lower min_valid, or check the scenes: they may be cloudy, or their nodata value may be wrong."
        yield Fault("no_usable_chips", detail, hint, "/min_valid")
