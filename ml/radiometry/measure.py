"""What homogenisation needs to know of scenes: how the pixels of one are distributed, and what all should be like."""

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ml.contract import BandRadiometry, LocalStatistics, Method, SceneRadiometry
from ml.faults import Fault, InputRefused
from ml.geo.statistics import EvenSample
from ml.geo.windows import blocks
from ml.scenes.source import Source

CELL_PX = 256
_BLOCK_PX = 2 * CELL_PX  # low, so that a row of blocks of a scene 32,000 px wide stays in GDAL's cache
_FEWEST = CELL_PX**2 // 16  # valid pixels that a cell must have to speak for itself
_PERCENTS = np.linspace(0, 1, 101)

Grid = NDArray[np.float64]


def measure(source: Source, method: Method) -> SceneRadiometry:
    """Look once at every pixel of a scene, block by block.

    Quantiles, median, MAD, mean and std are those of an even sample of at most 2 million valid pixels; the cells of
    the method "wallis", 256 px wide, count every valid pixel.

    Raises:
        InputRefused: no_valid_pixels, corrupt_tiff.
    """
    sample = EvenSample(source.bands)
    cells = _Cells(source) if method == "wallis" else None
    for block in blocks(source.rows, source.cols, block_px=_BLOCK_PX):
        image, valid = source.read(block)
        sample.update(image, valid)
        if cells:
            cells.update(block.row // CELL_PX, block.col // CELL_PX, image, valid)
    pixels = sample.pixels()
    if pixels.shape[1] == 0:
        hint = "Look at the declared nodata: it may be a value that the image uses."
        raise InputRefused(Fault("no_valid_pixels", "Every pixel is nodata, masked or not a number.", hint))
    bands = tuple(_band(values) for values in pixels)
    return SceneRadiometry(bands=bands, local=cells.statistics(bands) if cells else None)


def reference_of(scenes: Sequence[SceneRadiometry]) -> tuple[BandRadiometry, ...]:
    """What every scene is brought to: the middle of the training scenes, band by band, each scene with equal weight.

    Of each number the mean over the scenes. The mean quantile function is the Wasserstein barycentre of the scenes'
    distributions (Agueh and Carlier 2011, in one dimension); its median and mean are the means of theirs, and its MAD
    and std, too, if the scenes differ by a gain and an offset alone. To pool the pixels instead would be wrong: casts
    of different scenes would count as contrast.

    Raises:
        ValueError: there is no scene, or they differ in their bands.
    """
    if not scenes:
        raise ValueError("a reference needs at least one scene")
    return tuple(_middle(bands) for bands in zip(*(scene.bands for scene in scenes), strict=True))


def _middle(bands: Sequence[BandRadiometry]) -> BandRadiometry:
    return BandRadiometry(
        median=_mean([band.median for band in bands]),
        mad=_mean([band.mad for band in bands]),
        mean=_mean([band.mean for band in bands]),
        std=_mean([band.std for band in bands]),
        quantiles=tuple(np.mean([band.quantiles for band in bands], axis=0).tolist()),
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _band(sample: np.ndarray) -> BandRadiometry:
    values = sample.astype(np.float64)
    quantiles = np.quantile(values, _PERCENTS)
    median = quantiles[len(quantiles) // 2]
    return BandRadiometry(
        median=float(median),
        mad=float(np.median(np.abs(values - median))),
        mean=float(values.mean()),
        std=float(values.std()),
        quantiles=tuple(quantiles.tolist()),
    )


class _Cells:
    """Mean and standard deviation of the valid pixels in each cell of a scene."""

    def __init__(self, source: Source) -> None:
        self._shape = -(-source.rows // CELL_PX), -(-source.cols // CELL_PX)
        self._mean, self._std = np.zeros((2, source.bands, *self._shape))
        self._known = np.zeros(self._shape, dtype=bool)

    def update(self, row: int, col: int, image: np.ndarray, valid: np.ndarray) -> None:
        """Take in a block of whole cells, the first of which is at (row, col) of the grid of cells."""
        for cell in blocks(*valid.shape, block_px=CELL_PX):
            inside = image[:, *cell.slices].reshape(len(image), -1)
            pixels = inside.compress(valid[cell.slices].ravel(), axis=1).astype(np.float64)
            if pixels.shape[1] >= _FEWEST:
                at = row + cell.row // CELL_PX, col + cell.col // CELL_PX
                self._known[at] = True
                self._mean[:, *at] = mean = pixels.mean(axis=1)
                pixels -= mean[:, None]
                self._std[:, *at] = np.sqrt(np.square(pixels, out=pixels).mean(axis=1))

    def statistics(self, scene: Sequence[BandRadiometry]) -> LocalStatistics:
        """Of every cell; one with few valid pixels has what is around it, or the scene's own if no cell has many."""
        if not self._known.any():
            self._known[:] = True
            self._mean[:] = np.array([band.mean for band in scene])[:, None, None]
            self._std[:] = np.array([band.std for band in scene])[:, None, None]
        mean, std = (spread(values, self._known).ravel().tolist() for values in (self._mean, self._std))
        rows, cols = self._shape
        return LocalStatistics(cell_px=CELL_PX, rows=rows, cols=cols, mean=tuple(mean), std=tuple(std))


def spread(values: Grid, known: NDArray[np.bool_]) -> Grid:
    """values, (bands, rows, cols), where `known`, (rows, cols), and elsewhere the mean of the nearest known cells.

    Outwards from what is known, ring by ring. Haze does not end where the pixels do: with the scene's own numbers in
    the cells outside, it would stay along the whole border of the valid area.
    """
    while not known.all():
        count = _around(known[None].astype(np.float64))[0]
        total = _around(np.where(known, values, 0.0))
        values = np.where(known, values, total / count.clip(min=1))
        known = known | (count > 0)
    return values


def _around(values: Grid) -> Grid:
    """The sum over 3 x 3 cells around each cell."""
    padded = np.pad(values, ((0, 0), (1, 1), (1, 1)))
    total: Grid = sliding_window_view(padded, (3, 3), axis=(1, 2)).sum(axis=(-2, -1))
    return total
