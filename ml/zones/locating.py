"""In which zones places of a map lie."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ml.bounded import ShortText
from ml.frozen import Frozen
from ml.geo.grid import grid_of
from ml.geo.raster import open_raster
from ml.zones.coverage import Floats, Outline
from ml.zones.placing import outlines_on
from ml.zones.read import MOST_ZONES, Zones

MOST_PLACES = 10_000


class PlacesInZone(Frozen):
    """The places in one zone. code: Of the zone. places: Their numbers, from 0."""

    code: ShortText
    places: tuple[int, ...] = Field(max_length=MOST_PLACES)


class PlacesByZone(Frozen):
    """The places in each zone. Zones without any are left out."""

    zones: tuple[PlacesInZone, ...] = Field(max_length=MOST_ZONES)

    @property
    def by_code(self) -> dict[str, tuple[int, ...]]:
        """The numbers of the places, by the code of the zone."""
        return {each.code: each.places for each in self.zones}


def pixels_by_zone(map_: Path, zones: Zones, rows: Sequence[int], cols: Sequence[int]) -> PlacesByZone:
    """In which zones the centres of some pixels lie.

    A centre that lies on the border of two zones which have the same corners there is in one of them. It is in several
    where zones overlap, or are parts of each other.

    map_: Path of a raster on whose grid the pixels are. rows, cols: Of the pixels, from 0.
    """
    with open_raster(map_) as dataset:
        grid = grid_of(dataset)
    x, y = np.asarray(cols) + 0.5, np.asarray(rows) + 0.5
    found = {number: np.flatnonzero(inside(outline, x, y)) for number, outline in outlines_on(zones, grid).items()}
    return PlacesByZone(
        zones=tuple(
            PlacesInZone(code=zones.texts[number].code, places=tuple(places.tolist()))
            for number, places in found.items()
            if places.size
        )
    )


def inside(outline: Outline, x: Floats, y: Floats) -> NDArray[np.bool_]:
    """Whether points lie within an outline, shape (n,): those from which an odd number of edges lies to the right.

    x, y: Coordinates of the points, as the outline's, shape (n,).
    """
    order = np.argsort(y, kind="stable")
    in_order = y[order]
    edges = outline.edges
    upwards = edges[:, 0, 1] > edges[:, 1, 1]
    edges = np.where(upwards[:, None, None], edges[:, ::-1], edges)  # one rounding for both sides of a border
    (x0, y0), (x1, y1) = np.moveaxis(edges, (1, 2), (0, 1))
    first, end = np.searchsorted(in_order, y0), np.searchsorted(in_order, y1)
    counts = end - first
    edge = np.repeat(np.arange(len(edges)), counts)
    point = order[first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts)]
    along = (y[point] - y0[edge]) / (y1[edge] - y0[edge])
    beyond = x[point] < x0[edge] + along * (x1[edge] - x0[edge])
    return np.asarray(np.bincount(point[beyond], minlength=len(x)) % 2 == 1)
