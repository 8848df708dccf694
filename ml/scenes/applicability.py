"""Applicability of a model to a scene: for which share of the area its values are those that the model has learnt from.

A pixel is outside if any band lies outside the range of the training. A net may give any class there, and with any
probability. A pixel that is inside in each band may still be unlike all pixels of the training taken together.

Homogenisation brings every scene into that range, so the range tells nothing then. The contrast that the scene had
before does (`ml.radiometry.homogenise.contrast`): in a scene of one class it takes the colour of the class for a cast.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ml.contract import BandStatistics, Contract
from ml.data import SceneFile
from ml.faults import Note
from ml.frozen import Frozen
from ml.geo.areas import count_by_class, window_areas
from ml.geo.grid import Grid, grid_of
from ml.geo.windows import Window, blocks_by_tile, side_within
from ml.scenes.source import RasterSource

Level = Literal["inside", "partly", "outside"]
PARTLY, OUTSIDE = 0.05, 0.5  # shares of the area above which a scene is partly, and mostly, outside
LOW_CONTRAST = 1 / 3  # of that of the training, below which a homogenised scene may have a single class
_SLACK = 0.1  # of the range of a band, by which it may be left at each end: neighbouring scenes differ a little
_FAR = 5  # standard deviations from the mean, where no percentiles are known
_MOST_PIXELS = 1 << 26  # that are looked at; of a larger scene some windows
_WINDOW_PX, _WINDOW_BYTES = 1024, 64 << 20
_INSIDE, _OUTSIDE = 0, 1
_BANDS_LISTED = 12


class BandShare(Frozen):
    """How much of a scene lies outside the range of a band.

    name: Name of the band. low, high: Range of the training, widened, in physical units. share: Share of the observed
    area outside it, 0 to 1.
    """

    name: str
    low: float
    high: float
    share: float


class Applicability(Frozen):
    """Whether the values of a scene are those that a model has learnt from.

    level: "inside" if at most 5 % of the observed area is outside the training, "partly" up to 50 %, else "outside";
    None if it is not known. outside_share: Share of the observed area, 0 to 1. bands: Bands that leave their range
    anywhere, the worst first. why: Why the level is not known. contrast: Contrast of the scene before homogenisation
    as a share of that of the training scenes; None without homogenisation.
    """

    level: Level | None
    outside_share: float | None = None
    bands: tuple[BandShare, ...] = ()
    why: str | None = None
    contrast: float | None = Field(None, exclude_if=lambda contrast: contrast is None)

    def notes(self) -> Iterator[Note]:
        """Yield outside_training if a part of the scene is outside that is worth a warning; low_contrast."""
        if self.level in ("partly", "outside") and self.outside_share is not None:
            worst = "; ".join(f"{it.name} {it.share:.1%} beyond {it.low:.6g} to {it.high:.6g}" for it in self.bands[:3])
            detail = f"{self.outside_share:.1%} of the area has values outside those of the training: band {worst}."
            hint = "The map is a guess there: check that sensor, units and season are those of the training scenes."
            yield Note(code="outside_training", detail=detail, hint=hint)
        if self.contrast is not None and self.contrast < LOW_CONTRAST:
            detail = f"The scene has {self.contrast:.0%} of the contrast of the training scenes before homogenisation."
            hint = (
                "If one class covers most of it, homogenisation took its colour for a cast, and the map may be wrong "
                "everywhere: look at both, and compare with the map of a model without homogenisation."
            )
            yield Note(code="low_contrast", detail=detail, hint=hint)


NOT_MEASURED = Applicability(level=None, why="The map was made before this was measured.")


def applicability(scene: SceneFile, contract: Contract) -> Applicability:
    """Compare the valid pixels of a scene with the range of each band in the training of a model.

    The range is that between the 0.1 and 99.9 percentiles of the training, widened by a tenth of it at each end.
    Of a scene of over 67 million pixels, as many are looked at, in windows drawn at random.

    Raises:
        InputRefused: corrupt_tiff if the file is damaged.
    """
    if contract.homogenise:
        why = f"Homogenisation ({contract.homogenise.method}) brings the values of each scene to those of the training."
        return Applicability(level=None, why=why)
    with RasterSource(scene.path, scene.nodata, scene.bands) as source:
        if len(contract.statistics) != source.bands:
            return Applicability(level=None, why="The contract of the model has no statistics of its training.")
        ranges = np.array([_range(band) for band in contract.statistics])
        observed_ha, outside_ha, by_band_ha = 0.0, 0.0, np.zeros(source.bands)
        grid = grid_of(source.dataset)
        for window in _windows(source):
            inside, outside, of_bands = _hectares(*source.read(window), ranges, grid, window)
            observed_ha += inside + outside
            outside_ha += outside
            by_band_ha += of_bands
    if not observed_ha:
        return Applicability(level=None, why="None of the pixels that were looked at is valid.")
    return _judged(outside_ha / observed_ha, by_band_ha / observed_ha, contract.bands, ranges)


def _range(band: BandStatistics) -> tuple[float, float]:
    """Return the widened range of a band: its percentiles or, if they are not known, 5 standard deviations."""
    low = max(band.min, band.mean - _FAR * band.std) if band.low is None else band.low
    high = min(band.max, band.mean + _FAR * band.std) if band.high is None else band.high
    slack = _SLACK * (high - low)
    return low - slack, high + slack


def _windows(source: RasterSource) -> Sequence[Window]:
    """Return all windows of a scene, or of a large one some that are drawn at random, the same each time."""
    side = side_within(_WINDOW_BYTES, 4 * source.bands, _WINDOW_PX)
    windows = list(blocks_by_tile(source.rows, source.cols, block_px=side, tile_px=source.tile_px(side)))
    most = max(1, _MOST_PIXELS // side**2)
    if len(windows) <= most:
        return windows
    return [windows[number] for number in np.sort(np.random.default_rng(0).permutation(len(windows))[:most])]


def _hectares(
    image: NDArray[np.float32], valid: NDArray[np.bool_], ranges: NDArray[np.float64], grid: Grid, window: Window
) -> tuple[float, float, NDArray[np.float64]]:
    """Return the hectares of valid pixels inside and outside, and outside the range of each band, shape (bands,).

    image, valid: Pixels of the window and their validity. ranges: Shape (bands, 2).
    """
    areas = window_areas(grid, window)
    outside, of_bands = np.zeros(valid.shape, dtype=bool), np.zeros(len(ranges))
    for number, (values, (low, high)) in enumerate(zip(image, ranges, strict=True)):
        beyond = (values < low) | (values > high)
        of_bands[number] = count_by_class(beyond.view(np.uint8), areas, valid)[1][_OUTSIDE]
        outside |= beyond
    total = count_by_class(outside.view(np.uint8), areas, valid)[1]
    return float(total[_INSIDE]), float(total[_OUTSIDE]), of_bands


def _judged(
    share: float, by_band: NDArray[np.float64], names: Sequence[str], ranges: NDArray[np.float64]
) -> Applicability:
    level: Level = "inside" if share <= PARTLY else "partly" if share <= OUTSIDE else "outside"
    worst = [int(number) for number in np.argsort(-by_band, kind="stable") if by_band[number] > 0]
    bands = (
        BandShare(name=names[n], low=ranges[n, 0], high=ranges[n, 1], share=by_band[n]) for n in worst[:_BANDS_LISTED]
    )
    return Applicability(level=level, outside_share=share, bands=tuple(bands))
