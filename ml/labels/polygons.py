"""Layers of polygons: read from a file, repaired, and found near the grid of a scene."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyproj
import shapely

from ml.geo.crs import full_turn, transformer
from ml.geo.grid import Box, Grid
from ml.geo.operations import WGS84, Operation, operation
from ml.labels.read import read_layer, wgs84_bounds
from ml.labels.repair import repaired

Bounds = tuple[float, float, float, float]
"""Left, bottom, right and top, in units of a CRS."""


class Polygons:
    """Valid polygons, in the order of the file.

    features: Polygons with their attributes, after repairs.
    geometries: shapely polygons in `crs`, shape (features,), object.
    notes: Notes about geometries that were repaired.
    file: What was read from the file, before repairs.
    """

    def __init__(self, path: Path, *, crs: str | None, layer: str | None) -> None:
        """Read a layer. crs, layer: As those of `read_layer`.

        Raises:
            InputRefused: The faults of `read_layer` and of `repaired`.
        """
        self.file = read_layer(path, crs=crs, layer=layer)
        if self.file.crs is None:
            raise ValueError("read_layer returned a layer without a CRS")
        self.features, self.notes = repaired(self.file.features, self.file.crs)
        self.kind, self.crs = self.file.kind, self.file.crs
        self.geometries = np.array([feature.geometry for feature in self.features])

    @cached_property
    def tree(self) -> shapely.STRtree:
        """Spatial index of `geometries`."""
        return shapely.STRtree(self.geometries)

    @cached_property
    def box(self) -> Box:
        """Bounding box of all polygons, in degrees of WGS 84. One operation is chosen for it, if a datum changes."""
        return wgs84_bounds(self.geometries, self.crs)

    @property
    def bounds(self) -> Bounds:
        """Left, bottom, right and top of all polygons, in units of the CRS."""
        left, bottom, right, top = shapely.total_bounds(self.geometries).tolist()
        return left, bottom, right, top

    @cached_property
    def to_wgs84(self) -> Operation:
        """How the polygons get to WGS 84."""
        return operation(self.crs, WGS84, self.box)

    def near(self, around: Bounds) -> tuple[np.ndarray, np.ndarray]:
        """Return the polygons in the surroundings of a grid, cut to them: numbers, increasing, and geometries.

        Where x goes round the Earth, the polygons of all turns are found.

        around: What `surroundings` returns for the grid.
        """
        left, bottom, right, top = around
        if np.isinf(left):
            return np.zeros(0, dtype=int), np.zeros(0, dtype=object)
        numbers, geometries = [np.zeros(0, dtype=int)], [np.zeros(0, dtype=object)]
        for turn in _turns(self.crs, (left, right), shapely.total_bounds(self.geometries)[::2]):
            box = shapely.box(left + turn, bottom, right + turn, top)
            near = np.sort(self.tree.query(box, predicate="intersects"))
            numbers.append(near)
            geometries.append(shapely.intersection(self.geometries[near], box))
        all_numbers, near_geometries = np.concatenate(numbers), np.concatenate(geometries)
        order = np.argsort(all_numbers, kind="stable")
        return all_numbers[order], near_geometries[order]


def surroundings(grid: Grid, crs: pyproj.CRS, box: Box) -> Bounds:
    """Return left, bottom, right and top of a grid in x, y of another CRS, with a margin; infinite outside that CRS.

    box: Where the layer lies, in degrees.
    """
    x, y = transformer(grid.crs, crs, box).transform(*grid.outline().T)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return -np.inf, -np.inf, np.inf, np.inf
    turn = full_turn(crs)
    x = np.unwrap(x, period=turn) if turn else x
    if turn and grid.pole is not None:
        x, y = np.array([x.min(), x.min() + turn]), np.append(y, transformer(WGS84, crs).transform(0, grid.pole)[1])
    left, bottom, right, top = x.min(), y.min(), x.max(), y.max()
    slack = 0.05 * max(right - left, top - bottom)  # because the outline has only a few points
    return left - slack, bottom - slack, right + slack, top + slack


def _turns(crs: pyproj.CRS, wanted: tuple[float, float], given: Sequence[float]) -> list[float]:
    """Return by which whole turns a range of x must be moved to touch another one; 0 if x does not go round the Earth.

    wanted, given: Ranges of x.
    """
    turn = full_turn(crs)
    if turn is None:
        return [0.0]
    first, last = np.ceil((given[0] - wanted[1]) / turn), np.floor((given[1] - wanted[0]) / turn)
    return [float(turn * number) for number in range(int(first), int(last) + 1)]
