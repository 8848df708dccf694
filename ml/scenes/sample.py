"""Samples a scene: reads a few windows that are spread evenly over it, aligned with the blocks of the file."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from ml.contract import BandStatistics
from ml.faults import Fault, InputRefused, Note
from ml.geo.statistics import Moments
from ml.geo.windows import Window, blocks_by_tile, ceil_to, side_within
from ml.scenes.fill_values import FillValues
from ml.scenes.source import RasterSource

WINDOWS_PER_SIDE = 8
WINDOW_PX = 256
_DECODE_BYTES = 1 << 30  # limit on the decoded size of all blocks of a sample
_SEARCH_WINDOWS, _SEARCH_PX = 2048, 1024  # the search for a valid pixel reads at most 2 Gpx
_SEARCH_BYTES = 2 << 30  # decoded, in that search
_WINDOW_BYTES = 64 << 20  # of the pixels of one window
_LEAST_STEPS = 8  # standard deviation of a band, in steps of float32, below which its values blur


@dataclass(frozen=True)
class Sample:
    """Result of sampling a scene.

    statistics: Statistics of each band over the valid pixels of the sample, in physical units.
    notes: Notes about values that look wrong.
    """

    statistics: tuple[BandStatistics, ...]
    notes: tuple[Note, ...]


def sample_scene(source: RasterSource, windows_per_side: int = WINDOWS_PER_SIDE) -> Sample:
    """Read up to `windows_per_side`^2 windows of up to 256 px a side; if no pixel is valid, search the whole scene.

    Scenes over 2 Gpx, or over 2 GiB, are searched in evenly spaced windows. A window holds at most 64 MiB, so windows
    are smaller where there are many bands.

    Raises:
        InputRefused: no_valid_pixels, corrupt_tiff.
    """
    moments, fills = Moments(source.bands), FillValues(source)
    for window in _spread(source, windows_per_side):
        raw, valid = source.read_raw(window)
        moments.update(source.exact(raw), valid)
        fills.update(raw, valid)
    if moments.count == 0:
        raw, valid = _first_valid(source)
        moments.update(source.exact(raw), valid)
    notes = [*_nodata_notes(source), *fills.notes(), *_variance_notes(moments), *_precision_notes(source, moments)]
    return Sample(moments.statistics(), tuple(notes))


def _spread(source: RasterSource, windows_per_side: int) -> Iterator[Window]:
    """Yield windows that start at blocks of the file and are spread evenly over the scene."""
    block_rows, block_cols = source.dataset.block_shapes[0]
    unit_rows, unit_cols = max(block_rows, ceil_to(WINDOW_PX, block_rows)), max(block_cols, WINDOW_PX)
    size, block_bytes = _window_px(source, WINDOW_PX), block_rows * block_cols * _pixel_bytes(source)
    side = max(2, min(windows_per_side, int((_DECODE_BYTES / block_bytes) ** 0.5)))
    for row in _evenly(source.rows, unit_rows, side):
        for col in _evenly(source.cols, unit_cols, side):
            yield Window(row, col, size, size).clip(source.rows, source.cols)


def _evenly(length: int, unit: int, most: int) -> list[int]:
    """Return at most `most` multiples of `unit` below `length`, evenly spaced from the first to the last."""
    units = -(-length // unit)
    return [int(number) * unit for number in np.unique(np.linspace(0, units - 1, min(units, most)).round())]


def _first_valid(source: RasterSource) -> tuple[np.ndarray, np.ndarray]:
    """Return raw pixels and validity of the first window with a valid pixel; raise no_valid_pixels if none is found."""
    side = _window_px(source, _SEARCH_PX)
    total = -(-source.rows // side) * -(-source.cols // side)
    windows = blocks_by_tile(source.rows, source.cols, block_px=side, tile_px=source.tile_px(side))
    for window in islice(windows, 0, None, -(-total // _most_windows(source, side))):
        raw, valid = source.read_raw(window)
        if valid.any():
            return raw, valid
    detail = "Every pixel is nodata, masked or not a number."
    hint = f"Check the nodata value ({source.declared_nodata or 'none'}). The image may use it for valid pixels."
    raise InputRefused(Fault("no_valid_pixels", detail, hint))


def _window_px(source: RasterSource, most: int) -> int:
    return side_within(_WINDOW_BYTES, _pixel_bytes(source), most)


def _pixel_bytes(source: RasterSource) -> int:
    pixel_bytes: int = source.bands * source.dtype.itemsize
    return pixel_bytes


def _most_windows(source: RasterSource, side: int) -> int:
    """Return how many windows of the search decode at most `_SEARCH_BYTES`, since whole blocks are decoded."""
    if source.rows * source.cols * _pixel_bytes(source) <= _SEARCH_BYTES:
        return _SEARCH_WINDOWS
    rows, cols = (ceil_to(side, block) for block in source.dataset.block_shapes[0])
    return max(1, min(_SEARCH_WINDOWS, _SEARCH_BYTES // (rows * cols * _pixel_bytes(source))))


def _nodata_notes(source: RasterSource) -> Iterator[Note]:
    text = source.declared_nodata[:40]
    if not text or source.nodata is not None or text.lower() in ("nan", "+nan", "-nan"):
        return
    detail = f"No {source.dtype.name} pixel can have the nodata value {text!r}."
    hint = "This nodata value is ignored. Declare the correct value with nodata= if there is one."
    yield Note(code="nodata_unusable", detail=detail, hint=hint)


def _variance_notes(moments: Moments) -> Iterator[Note]:
    flat = [str(number) for number, band in enumerate(moments.statistics(), 1) if band.std == 0]
    if flat:
        detail = f"Band {', '.join(flat)}: all valid pixels of the sample are equal."
        yield Note(code="low_variance", detail=detail, hint="Such a band does not help to distinguish classes.")


def _precision_notes(source: RasterSource, moments: Moments) -> Iterator[Note]:
    """Yield a note for each band whose values blur in float32, in which all pixels are used."""
    if source.dtype == np.float32 and not source.scaled:
        return
    for number, (band, scale) in enumerate(zip(moments.statistics(), source.scales, strict=True), 1):
        step = float(np.spacing(np.float32(max(abs(band.min), abs(band.max)))))
        finest = abs(scale) if source.dtype.kind in "iu" else 0
        if 0 < band.std < _LEAST_STEPS * step and step > finest:
            detail = f"Band {number}: values from {band.min:.10g} to {band.max:.10g} are used in steps of {step:.3g}."
            hint = f"Subtract a constant: gdal_calc.py -A in.tif --calc 'A - {band.min:.10g}' --outfile out.tif"
            yield Note(code="precision_lost", detail=detail, hint=hint)
