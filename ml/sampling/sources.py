"""From which scene of a mosaic the pixels of its sample points come."""

from collections.abc import Sequence
from pathlib import Path

from ml.geo.raster import open_raster
from ml.geo.windows import Window
from ml.sampling.design import SamplePoint

_BLOCK_PX = 512  # points are read block by block, so that each block of the file is decoded once


def with_scenes(points: Sequence[SamplePoint], sources: Path) -> list[SamplePoint]:
    """The points, each with the number of its scene.

    sources: Path of the raster with the number of the scene of each pixel, on the grid of the map.
    """
    found = list(points)
    blocks = [(point.row // _BLOCK_PX, point.col // _BLOCK_PX) for point in points]
    with open_raster(sources) as dataset:
        for index in sorted(range(len(points)), key=blocks.__getitem__):
            window = Window(points[index].row, points[index].col, 1, 1)
            number = int(dataset.read(1, window=window.rasterio)[0, 0])
            found[index] = points[index].model_copy(update={"scene": number})
    return found
