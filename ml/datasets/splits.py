"""Splits: which pixels train the net (train), choose the epoch (val), or are scored once at the end (test)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ml.faults import Fault, InputRefused
from ml.frozen import Frozen
from ml.geo.windows import Window

SPLITS = ("train", "val", "test")
MOST_SCENES = 10_000
NO_SPLIT = -1  # owner of a pixel that no split may use
Blocks = NDArray[np.int8]  # (block rows, block cols): index into SPLITS
Owners = NDArray[np.int8]  # (rows, cols) of a window: index into SPLITS, or NO_SPLIT


class SceneSplit(Frozen):
    """A split of whole scenes, by name. If `test` is empty, the model has no test metrics."""

    by: Literal["scene"]
    train: tuple[str, ...] = Field(min_length=1, max_length=MOST_SCENES)
    val: tuple[str, ...] = Field(min_length=1, max_length=MOST_SCENES)
    test: tuple[str, ...] = Field((), max_length=MOST_SCENES)


class Fractions(Frozen):
    """Shares of the blocks that each split has; they add up to 1."""

    train: float = Field(0.7, gt=0, le=1)
    val: float = Field(0.15, gt=0, le=1)
    test: float = Field(0.15, ge=0, le=1)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = self.train + self.val + self.test
        if not math.isclose(total, 1, abs_tol=1e-6):
            raise ValueError(f"train, val and test add up to {total:g}: make it 1")
        return self


class BlockSplit(Frozen):
    """A split of square blocks within the scenes, assigned at random, with an unused buffer between the splits."""

    by: Literal["block"]
    block_px: int = Field(1024, ge=64, le=100_000, description="Side of a block in pixels.")
    fractions: Fractions = Fractions()
    seed: int = Field(0, ge=0, lt=2**32)
    buffer_px: int = Field(
        96,
        ge=0,
        le=50_000,
        description="Pixels between splits; at least the reach of the net to be trained, 6 * 2^depth.",
    )

    @model_validator(mode="after")
    def _room_within(self) -> Self:
        if 2 * self.buffer_px > self.block_px:
            sizes = f"a buffer of {self.buffer_px} px is more than half of a block of {self.block_px} px"
            raise ValueError(f"{sizes}: make buffer_px smaller (a net of depth 2 needs 24) or block_px larger")
        return self


Split = SceneSplit | BlockSplit


def assign_blocks(shapes: Sequence[tuple[int, int]], split: BlockSplit) -> list[Blocks]:
    """Assign the blocks of all scenes to splits at random.

    Returns:
        For each scene of `shapes` (rows, cols), the split of each of its blocks.

    Raises:
        InputRefused: too_few_blocks, if a split with a share above 0 would have no block.
    """
    sizes = [(math.ceil(rows / split.block_px), math.ceil(cols / split.block_px)) for rows, cols in shapes]
    total = sum(rows * cols for rows, cols in sizes)
    shares = [split.fractions.train, split.fractions.val, split.fractions.test]
    ends = np.round(np.cumsum(shares) * total).astype(int)
    owners = np.searchsorted(ends, np.arange(total), side="right").clip(0, 2)
    if any(share and not (owners == index).any() for index, share in enumerate(shares)):
        raise InputRefused(_too_few(total, split))
    assigned = np.random.default_rng(split.seed).permutation(owners).astype(np.int8)
    parts = np.split(assigned, np.cumsum([rows * cols for rows, cols in sizes])[:-1])
    return [part.reshape(size) for part, size in zip(parts, sizes, strict=True)]


def owners(blocks: Blocks, window: Window, shape: tuple[int, int], split: BlockSplit) -> Owners:
    """The split that each pixel of `window` belongs to, or -1 if the pixel lies in the buffer beside another split.

    Half of the buffer lies on each side of a border. A pixel is clear of the buffer if the blocks half a buffer away
    from it in the four diagonal directions are of its own split. These four points are enough, since a block is at
    least twice as large as the buffer.

    blocks: Split of each block of the scene. shape: Rows and columns of the scene.
    """
    half = math.ceil(split.buffer_px / 2)

    def at(down: int, right: int) -> Owners:
        rows = _blocks_along(window.row, window.rows, down, shape[0], split.block_px)
        cols = _blocks_along(window.col, window.cols, right, shape[1], split.block_px)
        return blocks[np.ix_(rows, cols)]

    own = at(0, 0)
    clear = np.ones(own.shape, dtype=bool)
    for down, right in ((-half, -half), (-half, half), (half, -half), (half, half)):
        clear &= at(down, right) == own
    return np.where(clear, own, NO_SPLIT)


@dataclass(frozen=True)
class Share:
    """How the pixels of one scene are divided among the splits.

    splits: Splits that have a part of the scene, as indices into SPLITS; empty if the scene is not used. shape: Rows
    and columns of the scene. blocks: Split of each block, and the split by blocks itself; None for a split by scenes.
    """

    splits: tuple[int, ...]
    shape: tuple[int, int]
    blocks: tuple[Blocks, BlockSplit] | None = None

    def owners(self, window: Window) -> Owners:
        """The split that each pixel of `window` belongs to, or -1 if it belongs to none."""
        if self.blocks is None:
            return np.full((window.rows, window.cols), self.splits[0] if self.splits else NO_SPLIT, dtype=np.int8)
        blocks, split = self.blocks
        return owners(blocks, window, self.shape, split)


def shares(names: Sequence[str], shapes: Sequence[tuple[int, int]], split: Split) -> list[Share]:
    """How each scene is divided among the splits; shapes: (rows, cols) of each scene.

    Raises:
        InputRefused: too_few_blocks.
    """
    if isinstance(split, BlockSplit):
        assigned = zip(shapes, assign_blocks(shapes, split), strict=True)
        return [Share(tuple(np.unique(blocks).tolist()), shape, (blocks, split)) for shape, blocks in assigned]
    members = [set(getattr(split, part)) for part in SPLITS]
    each = zip(names, shapes, strict=True)
    return [Share(tuple(i for i, part in enumerate(members) if name in part), shape) for name, shape in each]


def _blocks_along(start: int, size: int, shift: int, end: int, block_px: int) -> NDArray[np.intp]:
    places = np.arange(start, start + size) + shift
    return np.asarray(places.clip(0, end - 1) // block_px, dtype=np.intp)


def _too_few(total: int, split: BlockSplit) -> Fault:
    return Fault(
        "too_few_blocks",
        f"The scenes have {total} blocks of {split.block_px} px: too few for these fractions.",
        "Use a smaller block_px, larger fractions, or more scenes.",
        "/split/block_px",
    )
