"""Finds values in the sample of a scene that look like nodata, whether they are declared or not."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ml.faults import Note
from ml.scenes.source import MOST, RasterSource, usable_nodata

_TYPICAL = (-99999, -32768, -9999, -999, 0)
_SUSPECT_SHARE = 0.05  # share of the pixels above which a typical value in all bands may be nodata
_LEAST_SHARE = 0.005  # share of the pixels above which one value, far outside all others of a band, may be nodata
_FAR = 10  # distance from all other values of a band, in units of their range
_KEPT = 1_000_000  # values of all bands together
_WINDOWS = 64  # that a sample has at most, or few more
_MOST_BANDS = 12  # that a note lists


class FillValues:
    """Counts the pixels of windows that have values which may be nodata.

    Typical values are 0, the limits of an integer type, and some that programs write. They count if all bands have
    them. Any other value counts if it stands many times in a band, and far outside all other values of the band.
    """

    def __init__(self, source: RasterSource) -> None:
        limits = np.iinfo(source.dtype) if source.dtype.kind in "iu" else None
        typical = {*_TYPICAL, limits.min, limits.max} if limits else set(_TYPICAL)
        known = sorted(value for value in typical if limits is None or limits.min <= value <= limits.max)
        self._counts = dict.fromkeys(known, 0)
        self._pixels = self._valid = self._partial = self._absurd = 0
        self._nodata, self._bands = source.nodata, source.bands
        self._declared, self._unscaled, self._unscaled_pixels = 0, _unscaled_nodata(source), 0
        self._kept: list[np.ndarray] = []

    def update(self, raw: np.ndarray, valid: np.ndarray) -> None:
        """Add a window.

        raw: Pixels as they are in the file, shape (bands, rows, cols).
        valid: True where pixels are valid, shape (rows, cols), bool.
        """
        self._pixels += valid.size
        self._valid += int(valid.sum())
        if self._nodata is not None:
            missing = raw == self._nodata
            self._declared += int(missing.any(axis=0).sum())
            self._partial += int((missing.any(axis=0) & ~missing.all(axis=0)).sum())
        if self._unscaled is not None:
            self._unscaled_pixels += int((raw[0] == self._unscaled).sum())
        if raw.dtype.kind == "f":
            self._absurd += int(sum((np.abs(band) >= MOST) & (band != self._nodata) for band in raw).astype(bool).sum())
        for value in self._counts:
            if (first := valid & (raw[0] == value)).any():  # in most windows no pixel has it in the first band
                self._counts[value] += int((first & (raw == value).all(axis=0)).sum())
        self._keep(raw, valid)

    def _keep(self, raw: np.ndarray, valid: np.ndarray) -> None:
        where = np.flatnonzero(valid)
        step = max(1, where.size * self._bands * _WINDOWS // _KEPT)
        self._kept.append(raw.reshape(len(raw), -1)[:, where[::step]])

    def notes(self) -> Iterator[Note]:
        """Yield a note for each value that may be nodata, and for the pixels that are not valid because of one."""
        if self._partial:
            some = f"{self._partial:,} of {self._pixels:,} sampled pixels"
            detail = f"{some} have the nodata value {self._nodata} in some bands only."
            hint = "They count as without data. If it is a measured value, declare another one with nodata=."
            yield Note(code="partial_nodata", detail=detail, hint=hint)
        if self._unscaled_pixels and not self._declared:
            detail = (
                f"No sampled pixel has the nodata value {self._nodata}, but {self._unscaled_pixels:,} have the number "
                f"{self._unscaled}, which is {self._nodata} after scale and offset. They count as valid."
            )
            hint = f"Nodata is compared with the numbers in the file. Declare it so: nodata={self._unscaled}."
            yield Note(code="scaled_nodata", detail=detail, hint=hint)
        if self._absurd:
            detail = f"{self._absurd:,} of {self._pixels:,} sampled pixels have values of {MOST:g} or more."
            hint = "They count as without data. Declare the value that the file uses with nodata=."
            yield Note(code="fill_values", detail=detail, hint=hint)
        found = [value for value, count in self._counts.items() if self._is_suspect(count)]
        for value in found:
            share = self._counts[value] / self._valid
            detail = f"{share:.0%} of the sampled pixels are {value} in all bands and count as valid."
            hint = f"If this is the nodata value, declare it: nodata={value}."
            yield Note(code="suspect_nodata", detail=detail, hint=hint)
        yield from self._outside_notes(found)

    def _is_suspect(self, count: int) -> bool:
        return bool(self._valid) and _SUSPECT_SHARE < count / self._valid < 1

    def _outside_notes(self, noted: list[int]) -> Iterator[Note]:
        """Yield a note for each value that stands far outside all others of a band, unless it was noted already."""
        if not self._kept:
            return
        found = dict[float, dict[int, float]]()
        for number, band in enumerate(np.concatenate(self._kept, axis=1), 1):
            for value, share in _outside(band):
                found.setdefault(value, {})[number] = share
        for value, shares in found.items():
            if value not in noted:
                bands = ", ".join(map(str, list(shares)[:_MOST_BANDS])) + (", ..." if len(shares) > _MOST_BANDS else "")
                most = f"{max(shares.values()):.1%}"
                detail = f"{most} of the sampled pixels are {value:.9g} in band {bands}, far outside all others."
                hint = f"If this is the nodata value, declare it: nodata={value:.9g}."
                yield Note(code="suspect_nodata", detail=detail, hint=hint)


def _unscaled_nodata(source: RasterSource) -> np.generic | None:
    """Return the number in the file that the declared nodata value may mean: the one that scale and offset make it."""
    try:
        value = (float(source.declared_nodata) - source.offsets[0]) / source.scales[0]
    except (ValueError, ZeroDivisionError):
        return None
    number = usable_nodata(
        str(round(value) if source.dtype.kind in "iu" and np.isfinite(value) else value), source.dtype
    )
    return None if number == source.nodata else number


def _outside(band: NDArray[np.generic]) -> Iterator[tuple[float, float]]:
    """Yield the lowest and the highest value of a band, with their share, if they are far outside all others.

    A negative value below others that are not negative need not be as far outside. If there is only one other value,
    its size stands for a range.
    """
    values, counts = np.unique(band.astype(np.float64), return_counts=True)
    if len(values) < 2:
        return
    for first, rest in ((0, values[1:]), (-1, values[:-1])):
        value, spread = values[first], rest[-1] - rest[0] if len(rest) > 1 else max(abs(rest[0]), 1.0)
        gap = max(rest[0] - value, value - rest[-1])
        alone = value < 0 <= rest[0] and gap > spread / 2
        if counts[first] / len(band) >= _LEAST_SHARE and (gap > _FAR * spread or alone):
            yield float(value), float(counts[first] / len(band))
