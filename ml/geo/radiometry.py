"""The radiometry of a scene: where its values lie, measured once, and what scenes are brought to.

Everything is in physical units, over valid pixels only.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ml.contract import BandRadiometry, LocalStatistics, Method, SceneRadiometry
from ml.faults import Fault, InputRefused
from ml.geo.source import Source
from ml.geo.windows import Window, blocks

SAMPLE_PX = 2_000_000  # pixels that are looked at for quantiles, evenly over the scene
CELL_PX = 256
LEAST_SHARE = 0.05  # of a cell's pixels must be valid for statistics of its own
LEVELS = np.linspace(0, 1, 101)
Floats = NDArray[np.float64]


def measure(source: Source, method: Method) -> SceneRadiometry:
    """What `method` needs to know of a scene; memory grows with the scene's width at most.

    Quantiles, median and MAD are those of every n-th pixel of every n-th row, 2 million at most.

    Raises:
        InputRefused: no_valid_pixels.
    """
    sample = np.concatenate(list(_thinned(source)), axis=1)
    if not sample.size:
        hint = "Look at the declared nodata: it may be a value that the image uses."
        raise InputRefused(Fault("no_valid_pixels", "The scene has no valid pixel to measure.", hint))
    bands = tuple(_radiometry(values.astype(np.float64)) for values in sample)
    return SceneRadiometry(bands=bands, local=_local(source, bands) if method == "wallis" else None)


def reference_of(scenes: Sequence[SceneRadiometry]) -> tuple[BandRadiometry, ...]:
    """What the scenes of a training split are brought to: their mean radiometry, band by band.

    The mean of quantile functions is the distribution closest to all of them (the Wasserstein barycentre in one
    dimension), and its median is the mean of the medians; no scene is favoured for its size. The std is the mean one:
    of cells where scenes were measured by cells, since that is what the Wallis filter sets.
    """
    return tuple(_mean_band(scenes, band) for band in range(len(scenes[0].bands)))


def _mean_band(scenes: Sequence[SceneRadiometry], band: int) -> BandRadiometry:
    of_band = [scene.bands[band] for scene in scenes]

    def mean(name: str) -> float:
        return float(np.mean([getattr(radiometry, name) for radiometry in of_band]))

    stds = [_cells(scene.local, "std")[band] for scene in scenes if scene.local]
    return BandRadiometry(
        median=mean("median"),
        mad=mean("mad"),
        mean=mean("mean"),
        std=float(np.mean([cells.mean() for cells in stds])) if stds else mean("std"),
        quantiles=tuple(np.mean([radiometry.quantiles for radiometry in of_band], axis=0).tolist()),
    )


def _cells(local: LocalStatistics, name: str) -> Floats:
    """One of the local statistics as (bands, rows, cols) of cells."""
    return np.array(getattr(local, name)).reshape(-1, local.rows, local.cols)


def _thinned(source: Source) -> Iterator[NDArray[np.float32]]:
    """Valid pixels (bands, n) of every n-th row and column, by strips."""
    step = max(1, int(np.ceil(np.sqrt(source.rows * source.cols / SAMPLE_PX))))
    height = step * max(1, CELL_PX // step)
    for row in range(0, source.rows, height):
        window = Window(row, 0, height, source.cols).clip(source.rows, source.cols)
        image, valid = source.read(window)
        yield image[:, ::step, ::step][:, valid[::step, ::step]]


def _radiometry(values: Floats) -> BandRadiometry:
    quantiles = np.quantile(values, LEVELS)
    median = float(quantiles[50])
    return BandRadiometry(
        median=median,
        mad=float(np.median(np.abs(values - median))),
        mean=float(values.mean()),
        std=float(values.std()),
        quantiles=tuple(quantiles.tolist()),
    )


def _local(source: Source, bands: Sequence[BandRadiometry]) -> LocalStatistics:
    """Mean and std of each cell over all its valid pixels; the scene's own where few are valid."""
    rows, cols = (-(-length // CELL_PX) for length in (source.rows, source.cols))
    mean = np.array([np.full((rows, cols), band.mean) for band in bands])
    std = np.array([np.full((rows, cols), band.std) for band in bands])
    for window in blocks(source.rows, source.cols, block_px=CELL_PX):
        image, valid = source.read(window)
        if valid.mean() >= LEAST_SHARE:
            cell = np.s_[:, window.row // CELL_PX, window.col // CELL_PX]
            pixels = image[:, valid].astype(np.float64)
            mean[cell], std[cell] = pixels.mean(axis=1), pixels.std(axis=1)
    return LocalStatistics(
        cell_px=CELL_PX, rows=rows, cols=cols, mean=tuple(mean.ravel().tolist()), std=tuple(std.ravel().tolist())
    )
