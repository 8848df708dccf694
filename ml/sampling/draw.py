"""Draws pixels of a map: the same frame and seed give the same pixels in the same order."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ml.contract import MAP_NODATA
from ml.progress import Tick, still
from ml.sampling.design import Frame
from ml.sampling.frame import windows

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Pixels:
    """Drawn pixels, in random order. rows, cols: From 0, shape (n,). classes: Their values on the map, shape (n,)."""

    rows: Ints
    cols: Ints
    classes: Ints


def generator(frame: Frame, seed: int) -> np.random.Generator:
    """The source of random numbers of a sample. It depends on the digest of the frame and on the seed alone."""
    return np.random.default_rng([seed, int(frame.sha256, 16)])


def draw_strata(
    classes: Path, counts: Mapping[tuple[int, ...], tuple[int, int]], random: np.random.Generator, tick: Tick = still
) -> Pixels:
    """Draw pixels without replacement in each stratum, each with the same probability (Cochran 1977, section 2.1).

    The numbers of the pixels within the stratum are drawn first; then one reading of the map finds them.

    classes: Path of the map. counts: For the class values of each stratum, how many pixels it has, and how many of
    them are drawn.
    """
    ranks = {
        values: np.sort(random.choice(pixels, size=n, replace=False, shuffle=False))
        for values, (pixels, n) in counts.items()
    }
    seen, found = dict.fromkeys(ranks, 0), list[np.ndarray]()
    for window, image in windows(classes):
        tick()
        for values, wanted in ranks.items():
            inside = np.flatnonzero(np.isin(image, values))
            first, end = np.searchsorted(wanted, (seen[values], seen[values] + inside.size))
            at = inside[wanted[first:end] - seen[values]]
            seen[values] += inside.size
            found.append(_placed(at // window.cols, at % window.cols, image, window.row, window.col))
    return _shuffled(found, random)


def steps(pixels: int, n: int) -> tuple[int, int]:
    """Steps down and across of a grid that takes `n` of `pixels` or a few more: whole numbers, nearly equal."""
    down = max(1, isqrt(pixels // n))
    return down, max(1, pixels // (n * down))


def draw_grid(classes: Path, step: tuple[int, int], random: np.random.Generator, tick: Tick = still) -> Pixels:
    """Take the pixels of a regular grid that begins at random, so each pixel has probability 1 / (down * across).

    This is an aligned systematic sample (Cochran 1977, section 8.13). step: Down and across, in pixels.
    """
    start = [int(random.integers(side)) for side in step]
    found = list[np.ndarray]()
    for window, image in windows(classes):
        tick()
        first = [(begin - at) % side for begin, at, side in zip(start, (window.row, window.col), step, strict=True)]
        rows, cols = np.meshgrid(
            np.arange(first[0], window.rows, step[0]), np.arange(first[1], window.cols, step[1]), indexing="ij"
        )
        there = image[rows, cols] != MAP_NODATA
        found.append(_placed(rows[there], cols[there], image, window.row, window.col))
    return _shuffled(found, random)


def _placed(rows: np.ndarray, cols: np.ndarray, image: np.ndarray, top: int, left: int) -> np.ndarray:
    return np.stack([rows + top, cols + left, image[rows, cols].astype(np.int64)])


def _shuffled(found: list[np.ndarray], random: np.random.Generator) -> Pixels:
    """All drawn pixels in random order: whoever labels the first ones has labelled a random part of the sample."""
    every = np.concatenate(found, axis=1) if found else np.zeros((3, 0), np.int64)
    return Pixels(*every[:, random.permutation(every.shape[1])])
