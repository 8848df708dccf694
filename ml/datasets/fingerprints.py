"""Fingerprints of pixels: they show that two scenes hold the same pixels, even if the files place them elsewhere.

Every neighbourhood of 16 x 16 px has a hash, and the hashes in the lowest 1/1024 of all values represent the scene. The
content itself decides which hashes these are, so a copy has the same ones however it is shifted (Manber 1994, "Finding
similar files in a large file system"). The hash is the polynomial hash of Karp and Rabin (1987), first down the
columns, then along the rows, modulo 2^64; a sum over 16 values is made of two sums over 8, and so on, in four steps for
each axis.
"""

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ml.geo.watched import Through, unwatched
from ml.geo.windows import Window, blocks
from ml.scenes.source import RasterSource

Prints = NDArray[np.uint64]

SIDE_PX = 16
ONE_IN = 1024
_BLOCK_PX = 512  # arrays of 2 MB stay in the processor's cache
_MOST_COPIES = 32  # up to this many copies of one fingerprint, each is compared with every other
_BASES = (0x9E3779B97F4A7C15, 0xD1B54A32D192ED03)  # one for each axis; odd, so that no bit is lost modulo 2^64
_MASK = 2**64 - 1


def fingerprints(source: RasterSource, through: Through = unwatched) -> Prints:
    """The fingerprints of a scene's raw pixels, sorted and without repeats, uint64; about one for every 1024 px.

    Fingerprints that occur more than once in the scene (flat areas, patterns) are left out, and so are those of a
    neighbourhood with a pixel that is not valid. Memory grows only by 8 bytes for each fingerprint; time grows with the
    number of pixels.

    through: Reports progress window by window; may raise `Stopped`.
    """
    rows, cols = source.rows - SIDE_PX + 1, source.cols - SIDE_PX + 1
    once, repeated = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)]
    for corner in through(blocks(rows, cols, block_px=_BLOCK_PX) if min(rows, cols) > 0 else ()):
        window = Window(corner.row, corner.col, corner.rows + SIDE_PX - 1, corner.cols + SIDE_PX - 1)
        alone, others = _of_window(*source.read_raw(window))
        once.append(alone)
        repeated.append(others)
    prints, counts = np.unique(np.concatenate(once), return_counts=True)
    known = np.isin(prints, np.concatenate(repeated))
    return np.asarray(prints[(counts == 1) & ~known])


def shared_prints(scenes: Sequence[Prints]) -> dict[tuple[int, int], int]:
    """How many fingerprints each pair of scenes shares, by the indices of both scenes, the lower index first.

    Pairs that share none are left out. If many scenes have one fingerprint, each copy is compared only with the next
    31, so that time grows in proportion to the number of fingerprints.
    """
    prints = np.concatenate(scenes)
    owner = np.repeat(np.arange(len(scenes)), [len(scene) for scene in scenes])
    order = np.argsort(prints, kind="stable")
    prints, owner = prints[order], owner[order]
    shared = dict[tuple[int, int], int]()
    for lag in range(1, _MOST_COPIES):
        same = prints[lag:] == prints[:-lag]
        pairs, counts = np.unique(owner[:-lag][same] * len(scenes) + owner[lag:][same], return_counts=True)
        for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True):
            both = divmod(pair, len(scenes))
            shared[both] = shared.get(both, 0) + count
        if len(pairs) == 0:
            break
    return shared


def _of_window(raw: np.ndarray, valid: np.ndarray) -> tuple[Prints, Prints]:
    """The fingerprints that occur once in a window, of valid pixels alone, and those that occur several times."""
    hashes = _one_number(raw)
    for axis, base in enumerate(_BASES):
        hashes = _rolled(hashes, base, axis)
    hashes = _mixed(hashes)
    chosen = np.nonzero(hashes < np.uint64(2**64 // ONE_IN))
    prints, first, counts = np.unique(hashes[chosen], return_index=True, return_counts=True)
    single = counts == 1
    places = [axis[first[single]] for axis in chosen]
    whole = sliding_window_view(valid, (SIDE_PX, SIDE_PX))[*places].all(axis=(1, 2))
    return prints[single][whole], prints[~single]


def _one_number(raw: np.ndarray) -> Prints:
    """All bands of each pixel mixed into one pseudo-random number, uint64 (rows, cols)."""
    if raw.dtype.kind == "f":  # scenes of one dataset may have floats of different sizes
        with np.errstate(over="ignore"):
            raw = raw.astype(np.float32)
    bits = np.ascontiguousarray(raw).view(f"u{raw.dtype.itemsize}")
    together = np.zeros(raw.shape[1:], dtype=np.uint64)
    for number, band in enumerate(bits, 1):
        together += band * np.uint64(_BASES[1] * (2 * number + 1) & _MASK)
    return _mixed(together)


def _mixed(values: Prints) -> Prints:
    """Map each value to a pseudo-random one, one to one and in place: the finaliser of MurmurHash3 (Appleby)."""
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        values ^= values >> np.uint64(33)
        values *= np.uint64(factor)
    values ^= values >> np.uint64(33)
    return values


def _rolled(values: Prints, base: int, axis: int) -> Prints:
    """The sum of v[i + k] base^k over k < 16 for each i along `axis`; the axis becomes 15 elements shorter."""
    step = 1
    while step < SIDE_PX:
        near, far = (values[:-step], values[step:]) if axis == 0 else (values[:, :-step], values[:, step:])
        values = far * np.uint64(base)
        values += near
        base, step = base * base & _MASK, 2 * step
    return values
