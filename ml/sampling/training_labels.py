"""Which points of a sample lie where the model had labels: they are no independent check of its map."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ml.contract import UNLABELLED
from ml.geo.grid import grid_of
from ml.geo.raster import open_raster
from ml.geo.windows import Window


def labelled(mask: Path, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether places lie in labelled pixels of a mask, shape (n,). lon, lat: Degrees of WGS 84, shape (n,)."""
    found = np.zeros(lon.shape, dtype=bool)
    with open_raster(mask) as dataset:
        grid = grid_of(dataset)
        cols, rows = grid.pixels(*map(np.asarray, grid.operation.transformer.transform(lon, lat, direction="INVERSE")))
        inside = (rows >= 0) & (rows < grid.rows) & (cols >= 0) & (cols < grid.cols)  # False for what has no place
        for number in np.flatnonzero(inside).tolist():
            window = Window(int(rows[number]), int(cols[number]), 1, 1)
            found[number] = int(dataset.read(1, window=window.rasterio)[0, 0]) != UNLABELLED
    return found
