"""Class maps in any CRS, read by windows of one grid."""

import math
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import lru_cache
from pathlib import Path
from types import TracebackType

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.vrt import WarpedVRT

from ml.geo.crs import crs_from_wkt
from ml.geo.grid import Grid
from ml.geo.raster import open_raster, refusing_damage
from ml.geo.windows import Window
from ml.surveys.target import bounds_on

_OPEN = 64  # files at once: as many maps as lie side by side in a survey of some thousands
_TOLERANCE_PX = 1e-4  # by which GDAL may miss the place of a pixel
_WARP_MB = 16


class WarpedMaps(AbstractContextManager["WarpedMaps"]):
    """Class maps of which each pixel of a grid takes the pixel that its centre lies in (nearest neighbour).

    Only as many files as lie near each other are open at once.
    """

    def __init__(self, paths: Sequence[Path], grids: Sequence[Grid], target: Grid) -> None:
        self._paths, self._target = paths, target
        self._wkt = target.crs.to_wkt()
        self._bounds = [bounds_on(grid, target) for grid in grids]
        self._tree = shapely.STRtree([shapely.box(*bounds) for bounds in self._bounds])
        self._opened: OrderedDict[int, tuple[ExitStack, WarpedVRT]] = OrderedDict()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        while self._opened:
            self._close_oldest()

    def near(self, window: Window) -> list[int]:
        """The numbers of the maps that may cover something of a window, in no order."""
        box = shapely.box(window.col, window.row, window.col + window.cols, window.row + window.rows)
        return [int(number) for number in self._tree.query(box)]

    def read(self, number: int, window: Window) -> tuple[Window, NDArray[np.uint8], NDArray[np.bool_]]:
        """The classes of a map near a window.

        Returns:
            The part of the window outside of which the map has nothing, the classes there, and where the map has
            pixels, observed or not.
        """
        left, top, right, bottom = self._bounds[number]
        row, col = max(window.row, int(top)), max(window.col, int(left))
        end_row, end_col = window.row + window.rows, window.col + window.cols
        rows, cols = min(end_row, math.ceil(bottom)) - row, min(end_col, math.ceil(right)) - col
        part = Window(min(row, end_row - 1), min(col, end_col - 1), max(rows, 1), max(cols, 1))
        with refusing_damage(f"The map {number + 1} of the survey cannot be decoded."):
            values, inside = self._open(number).read(window=part.rasterio)
        return part, values, inside > 0

    def _open(self, number: int) -> WarpedVRT:
        if number in self._opened:
            self._opened.move_to_end(number)
            return self._opened[number][1]
        while len(self._opened) >= _OPEN:
            self._close_oldest()
        with ExitStack() as stack:
            source = stack.enter_context(open_raster(self._paths[number]))
            # without a nodata value, alpha tells what lies in the map, and not what was observed
            shape = {"height": self._target.rows, "width": self._target.cols, "transform": self._target.transform}
            how = {"tolerance": _TOLERANCE_PX, "warp_mem_limit": _WARP_MB, "src_nodata": None, "add_alpha": True}
            warped: WarpedVRT = stack.enter_context(WarpedVRT(source, crs=self._wkt, **shape, **how))
            self._opened[number] = stack.pop_all(), warped
        return warped

    def _close_oldest(self) -> None:
        _, (stack, _) = self._opened.popitem(last=False)
        stack.close()


def grid_of_map(path: Path) -> Grid:
    """The grid of a map. Those of many maps share the objects of their CRSs, which take 50 kB each."""
    with open_raster(path) as dataset:
        wkt = dataset.crs.to_wkt(version="WKT2_2019")
        return Grid(dataset.height, dataset.width, dataset.transform, _crs(wkt))


_crs = lru_cache(maxsize=64)(crs_from_wkt)
