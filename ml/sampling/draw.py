"""Draws pixels of a map: the same frame and seed give the same pixels in the same order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ml.contract import MAP_NODATA
from ml.geo.watched import Through, unwatched
from ml.geo.windows import Window
from ml.sampling.design import Frame
from ml.sampling.frame import map_grid, windows

Ints = NDArray[np.int64]
# of a window and its classes, (rows, cols): the number of the stratum of each pixel, or -1
StratumOf = Callable[[Window, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Pixels:
    """Drawn pixels, in random order. rows, cols: From 0, shape (n,). classes: Their values on the map, shape (n,)."""

    rows: Ints
    cols: Ints
    classes: Ints


def generator(frame: Frame, seed: int, *more: int) -> np.random.Generator:
    """The source of random numbers of a sample. It depends on the digest of the frame, the seed and `more` alone."""
    return np.random.default_rng([seed, int(frame.sha256, 16), *more])


def draw_strata(
    classes: Path,
    stratum_of: StratumOf,
    pixels: Ints,
    counts: Ints,
    random: np.random.Generator,
    through: Through = unwatched,
) -> tuple[Pixels, Ints]:
    """Draw pixels without replacement in each stratum, each with the same probability (Cochran 1977, section 2.1).

    The numbers of the pixels within the stratum are drawn first; then one reading of the map finds them.

    classes: Path of the map. stratum_of: Tells the stratum of each pixel of a window. pixels, counts: How many pixels
    each stratum has, and how many of them are drawn, shape (strata,).

    Returns:
        The pixels, and the stratum of each, shape (n,).
    """
    ranks = [
        np.sort(random.choice(of_all, size=n, replace=False, shuffle=False))
        for of_all, n in zip(pixels.tolist(), counts.tolist(), strict=True)
    ]
    seen, found = np.zeros(len(ranks), np.int64), list[np.ndarray]()
    for window, image in windows(classes, through):
        numbers = stratum_of(window, image).ravel()
        in_order = np.argsort(numbers, kind="stable")
        edges = np.searchsorted(numbers[in_order], np.arange(len(ranks) + 1))
        for number in np.flatnonzero(np.diff(edges)).tolist():
            inside, wanted = in_order[edges[number] : edges[number + 1]], ranks[number]
            first, end = np.searchsorted(wanted, (seen[number], seen[number] + inside.size))
            at = inside[wanted[first:end] - seen[number]]
            seen[number] += inside.size
            placed = _placed(at // window.cols, at % window.cols, image, window.row, window.col)
            found.append(np.concatenate([placed, np.full((1, at.size), number)]))
    *columns, strata = _shuffled(found, random, 4)
    return Pixels(*columns), strata


def cell_for(pixels: int, n: int) -> tuple[int, int]:
    """Rows and columns of the cells of which about `n`, or a few more, hold `pixels`; nearly squares."""
    down = max(1, isqrt(pixels // n))
    return down, max(1, pixels // (n * down))


def draw_grid(
    classes: Path, cell: tuple[int, int], frame: Frame, seed: int, through: Through = unwatched
) -> tuple[Pixels, float]:
    """Draw one pixel in each cell of a regular grid that begins at random; a pixel without a class is no point.

    It is a tessellation-stratified sample (Overton and Stehman 1993). Each pixel has the same probability, and the
    points lie evenly, but never in rows: a plain grid would follow the rows of fields, and its error could be twice
    that of a random sample.

    cell: Rows and columns.

    Returns:
        The pixels, and the probability of each pixel of the map.
    """
    random, cols = generator(frame, seed), map_grid(classes).cols
    start = [int(random.integers(side)) for side in cell]
    found = list[np.ndarray]()
    for window, image in windows(classes, through):
        first, last = ((row + start[0]) // cell[0] for row in (window.row, window.row + window.rows - 1))
        for number in range(first, last + 1):
            places = _in_cells(number, cell, start, cols, generator(frame, seed, number))
            row, col = places - [[window.row], [window.col]]
            inside = (row >= 0) & (row < window.rows) & (col >= 0) & (col < window.cols)
            row, col = row[inside], col[inside]
            there = image[row, col] != MAP_NODATA
            found.append(_placed(row[there], col[there], image, window.row, window.col))
    return Pixels(*_shuffled(found, random, 3)), 1 / (cell[0] * cell[1])


def _in_cells(
    number: int, cell: tuple[int, int], start: Sequence[int], cols: int, random: np.random.Generator
) -> np.ndarray:
    """The rows and columns of a pixel in each cell of one row of cells, some of them beside the map, (2, cells)."""
    count = (cols - 1 + start[1]) // cell[1] + 1
    row = number * cell[0] - start[0] + random.integers(cell[0], size=count)
    col = np.arange(count) * cell[1] - start[1] + random.integers(cell[1], size=count)
    return np.stack([row, col])


def _placed(rows: np.ndarray, cols: np.ndarray, image: np.ndarray, top: int, left: int) -> np.ndarray:
    return np.stack([rows + top, cols + left, image[rows, cols].astype(np.int64)])


def _shuffled(found: list[np.ndarray], random: np.random.Generator, columns: int) -> np.ndarray:
    """All drawn pixels in random order: whoever labels the first ones has labelled a random part of the sample."""
    every = np.concatenate(found, axis=1) if found else np.zeros((columns, 0), np.int64)
    return np.asarray(every[:, random.permutation(every.shape[1])])
