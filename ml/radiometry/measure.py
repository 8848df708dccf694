"""Measures the radiometry of scenes, and the reference radiometry to which scenes are homogenised."""

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ml.contract import BandRadiometry, LocalStatistics, Method, SceneRadiometry
from ml.faults import Fault, InputRefused
from ml.geo.statistics import EvenSample
from ml.geo.watched import Through, unwatched
from ml.geo.windows import blocks
from ml.scenes.source import Source

CELL_PX = 256  # side of a cell
_BLOCK_PX = 2 * CELL_PX  # so small that a row of blocks of a scene with 32,000 columns stays in GDAL's cache
_FEWEST = CELL_PX**2 // 16  # valid pixels that a cell needs to have its own statistics
_QUANTILES = np.linspace(0, 1, 101)

FloatArray = NDArray[np.float64]


def measure(source: Source, method: Method, through: Through = unwatched) -> SceneRadiometry:
    """Measure the radiometry of a scene; every pixel is read once, block by block.

    Quantiles, median, MAD, mean and std of each band are those of an even sample of at most 2 million valid pixels.
    For the method "wallis", the local statistics of cells of 256 x 256 px use all valid pixels.

    through: Reports progress window by window; may raise `Stopped`.

    Raises:
        InputRefused: no_valid_pixels if no pixel is valid; corrupt_tiff if the file is damaged.
    """
    sample = EvenSample(source.bands)
    cells = _Cells(source) if method == "wallis" else None
    for block in through(blocks(source.rows, source.cols, block_px=_BLOCK_PX)):
        image, valid = source.read(block)
        sample.update(image, valid)
        if cells:
            cells.update(block.row // CELL_PX, block.col // CELL_PX, image, valid)
    pixels = sample.pixels()
    if pixels.shape[1] == 0:
        hint = "Check the declared nodata value. The image may use it for valid pixels."
        raise InputRefused(Fault("no_valid_pixels", "Every pixel is nodata, masked or not a number.", hint))
    bands = tuple(_band(values) for values in pixels)
    return SceneRadiometry(bands=bands, local=cells.statistics(bands) if cells else None)


def reference_of(scenes: Sequence[SceneRadiometry]) -> tuple[BandRadiometry, ...]:
    """Return the radiometry to which all scenes are homogenised: the mean of the training scenes for each band.

    Each value is the mean over the scenes, with equal weights. The mean quantile function is the Wasserstein
    barycentre of the scenes' distributions (Agueh and Carlier 2011, in one dimension). Its median and mean are the
    means of the scenes' medians and means; so are its MAD and std if the scenes differ only by a gain and an offset.
    Pooling the pixels instead would be wrong: colour casts of single scenes would count as contrast.

    Raises:
        ValueError: There is no scene, or scenes have different numbers of bands.
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
    quantiles = np.quantile(values, _QUANTILES)
    median = quantiles[len(quantiles) // 2]
    return BandRadiometry(
        median=float(median),
        mad=float(np.median(np.abs(values - median))),
        mean=float(values.mean()),
        std=float(values.std()),
        quantiles=tuple(quantiles.tolist()),
    )


class _Cells:
    """Computes mean and standard deviation of the valid pixels in each cell of a scene."""

    def __init__(self, source: Source) -> None:
        self._shape = -(-source.rows // CELL_PX), -(-source.cols // CELL_PX)
        self._mean, self._std = np.zeros((2, source.bands, *self._shape))
        self._known = np.zeros(self._shape, dtype=bool)

    def update(self, row: int, col: int, image: np.ndarray, valid: np.ndarray) -> None:
        """Add a block that consists of whole cells.

        row, col: Position of the first cell of the block in the grid of cells.
        image: Pixels of the block, shape (bands, rows, cols).
        valid: True where pixels are valid, shape (rows, cols), bool.
        """
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
        """Return the statistics of every cell.

        A cell with few valid pixels gets the mean of the nearest cells that have many. If no cell has many, all cells
        get the statistics of the whole scene, which are in `scene` for each band.
        """
        if not self._known.any():
            self._known[:] = True
            self._mean[:] = np.array([band.mean for band in scene])[:, None, None]
            self._std[:] = np.array([band.std for band in scene])[:, None, None]
        mean, std = (spread(values, self._known).ravel().tolist() for values in (self._mean, self._std))
        rows, cols = self._shape
        return LocalStatistics(cell_px=CELL_PX, rows=rows, cols=cols, mean=tuple(mean), std=tuple(std))


def spread(values: FloatArray, known: NDArray[np.bool_]) -> FloatArray:
    """Fill unknown cells with the mean of the nearest known cells, ring by ring, outwards from the known cells.

    Haze does not end at the border of the valid area. If the cells outside had the statistics of the whole scene,
    haze would stay along that border.

    values: Values of the cells, shape (bands, rows, cols), float64.
    known: True where `values` are known, shape (rows, cols), bool; at least one cell must be known.
    """
    while not known.all():
        count = _around(known[None].astype(np.float64))[0]
        total = _around(np.where(known, values, 0.0))
        values = np.where(known, values, total / count.clip(min=1))
        known = known | (count > 0)
    return values


def _around(values: FloatArray) -> FloatArray:
    """Return the sum over the 3 x 3 cells around each cell, in the shape of `values`."""
    padded = np.pad(values, ((0, 0), (1, 1), (1, 1)))
    total: FloatArray = sliding_window_view(padded, (3, 3), axis=(1, 2)).sum(axis=(-2, -1))
    return total
