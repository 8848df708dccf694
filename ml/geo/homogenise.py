"""Homogenisation: scenes under other haze, light or sensors are brought to one radiometry before anything sees them.

The numbers are those of the whole scene, and each pixel is changed by itself: so a pixel comes out the same to the bit
whatever window it is read in, and tiled prediction stays exact.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from ml.contract import BandRadiometry, Homogenise, LocalStatistics, SceneRadiometry
from ml.data import SceneFile
from ml.geo.radiometry import measure
from ml.geo.source import RasterSource, Source
from ml.geo.windows import Window

CONTRAST = 0.8  # of the Wallis filter: 1 gives every cell the reference's contrast, 0 leaves it
BRIGHTNESS = 0.9  # likewise of its brightness
Image = NDArray[np.float32]
Change = Callable[[Image, Window], Image]


@contextmanager
def open_homogenised(scene: SceneFile, homogenise: Homogenise | None) -> Iterator[Source]:
    """A scene as it is to be used: homogenised by what is known of it, or else measured first; or as it is.

    Raises:
        InputRefused: no_valid_pixels, corrupt_tiff.
    """
    with RasterSource(scene.path, scene.nodata) as source:
        if homogenise is None:
            yield source
        else:
            yield HomogenisedSource(source, homogenise, scene.radiometry or measure(source, homogenise.method))


class HomogenisedSource:
    """A `Source` brought to the reference of `homogenise`. radiometry: of the scene, by `ml.geo.radiometry.measure`.

    "robust": median and MAD of each band become those of the reference; a linear map, which keeps all contrasts.
    "histogram": the quantiles do; a monotone map, which bends contrasts. "wallis": brightness and contrast of the
    surroundings do (Wallis 1976), which takes haze away, and large-scale differences of the land with it.
    """

    def __init__(self, source: Source, homogenise: Homogenise, radiometry: SceneRadiometry) -> None:
        self.bands, self.rows, self.cols = source.bands, source.rows, source.cols
        self._source = source
        self._change = _change(homogenise, radiometry)

    def read(self, window: Window) -> tuple[Image, NDArray[np.bool_]]:
        """The image, float32 (bands, rows, cols), 0 where not valid; and valid, bool (rows, cols)."""
        image, valid = self._source.read(window)
        return np.where(valid, self._change(image, window), np.float32(0)), valid


def _change(homogenise: Homogenise, scene: SceneRadiometry) -> Change:
    if homogenise.method == "wallis":
        if scene.local is None:
            raise ValueError("the scene was not measured for wallis")
        return _wallis(scene.local, homogenise.reference)
    by_band = _linear if homogenise.method == "robust" else _matched
    changes = [by_band(mine, theirs) for mine, theirs in zip(scene.bands, homogenise.reference, strict=True)]
    return lambda image, _: np.stack([change(band) for change, band in zip(changes, image, strict=True)])


def _linear(scene: BandRadiometry, reference: BandRadiometry) -> Callable[[Image], Image]:
    """(x - median) / MAD of the scene, times MAD, plus median of the reference; a band without spread is shifted."""
    gain = reference.mad / scene.mad if scene.mad and reference.mad else 1.0

    def change(band: Image) -> Image:
        moved: Image = (gain * (band.astype(np.float64) - scene.median) + reference.median).astype(np.float32)
        return moved

    return change


def _matched(scene: BandRadiometry, reference: BandRadiometry) -> Callable[[Image], Image]:
    """From the scene's quantiles to the reference's, linear between them and shifted beyond the ends."""
    ours, place = np.unique(scene.quantiles, return_inverse=True)
    # values that are several quantiles at once go to the mean of theirs
    theirs = np.bincount(place, weights=reference.quantiles) / np.bincount(place)

    def change(band: Image) -> Image:
        values = band.astype(np.float64)
        beyond = values - values.clip(ours[0], ours[-1])
        moved: Image = (np.interp(values, ours, theirs) + beyond).astype(np.float32)
        return moved

    return change


def _wallis(local: LocalStatistics, reference: tuple[BandRadiometry, ...]) -> Change:
    """(x - m) c s' / (c s + (1 - c) s') + b m' + (1 - b) m: m, s of the surroundings, m', s' of the reference.

    m and s lie at the middles of the cells, bilinear between them; b, c: `BRIGHTNESS` and `CONTRAST`.
    """
    shape = (len(reference), local.rows, local.cols)
    means, stds = np.array(local.mean).reshape(shape), np.array(local.std).reshape(shape)
    mean = np.array([band.mean for band in reference])[:, None, None]
    std = np.array([band.std for band in reference])[:, None, None]

    def change(image: Image, window: Window) -> Image:
        m, s = (_between_cells(grid, local.cell_px, window) for grid in (means, stds))
        spread = CONTRAST * s + (1 - CONTRAST) * std
        gain = np.divide(CONTRAST * std, spread, out=np.ones_like(spread), where=spread > 0)
        moved: Image = ((image - m) * gain + BRIGHTNESS * mean + (1 - BRIGHTNESS) * m).astype(np.float32)
        return moved

    return change


def _between_cells(grid: NDArray[np.float64], cell_px: int, window: Window) -> NDArray[np.float64]:
    """Values (bands, rows, cols) of a grid of cells at the pixels of `window`, by their place in the scene."""
    (top, bottom, down), (left, right, across) = (
        _neighbours(start, length, cell_px, cells)
        for start, length, cells in (
            (window.row, window.rows, grid.shape[1]),
            (window.col, window.cols, grid.shape[2]),
        )
    )
    by_row = grid[:, top] * (1 - down)[:, None] + grid[:, bottom] * down[:, None]
    return np.asarray(by_row[..., left] * (1 - across) + by_row[..., right] * across)


def _neighbours(start: int, length: int, cell_px: int, cells: int) -> tuple[NDArray[np.intp], ...]:
    """The cells on either side of each pixel, and how far it lies towards the second, 0 to 1."""
    place = ((np.arange(start, start + length) + 0.5) / cell_px - 0.5).clip(0, cells - 1)
    first = np.minimum(place.astype(np.intp), max(cells - 2, 0))
    return first, np.minimum(first + 1, cells - 1), place - first
