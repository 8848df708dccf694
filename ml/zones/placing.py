"""Where zones lie on the grid of a map, in pixels."""

from collections.abc import Iterator

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import Polygon

from ml.geo.areas import with_short_edges
from ml.geo.crs import full_turn
from ml.geo.grid import Grid
from ml.geo.operations import operation
from ml.labels.polygons import Polygons, surroundings
from ml.labels.repair import only_areas
from ml.zones.coverage import Outline, outline_of

EDGE_M = 100.0  # a straight edge of this length in one CRS leaves a straight one in another by less than a millimetre
MORE_POINTS = 1_000_000
Geometries = NDArray[np.object_]


def outlines_on(zones: Polygons, grid: Grid) -> dict[int, Outline]:
    """The outlines of the zones near a grid, in its pixels, by the number of the zone."""
    return {number: outline_of(pieces.tolist()) for number, pieces in pieces_on(zones, grid).items()}


def pieces_on(zones: Polygons, grid: Grid) -> dict[int, Geometries]:
    """The polygons that make up the zones near a grid, in its pixels, by the number of the zone."""
    there = operation(zones.crs, grid.crs, zones.box).transformer
    turn = full_turn(grid.crs)
    numbers, geometries = _near(zones, grid)
    near = shapely.orient_polygons(with_short_edges(geometries, zones.crs, EDGE_M, MORE_POINTS))
    placed = shapely.transform(near, lambda xy: np.column_stack(there.transform(*xy.T)))
    pieces: dict[int, list[Polygon]] = {}
    in_sight = np.isfinite(shapely.bounds(placed).reshape(-1, 4)).all(axis=1)  # of the projection of the grid
    for number, geometry in zip(numbers[in_sight].tolist(), placed[in_sight].tolist(), strict=True):
        for part in shapely.get_parts(geometry).tolist():
            pieces.setdefault(number, []).extend(_in_all_turns(part, grid, turn) if turn else [part])

    def to_pixels(xy: np.ndarray) -> np.ndarray:
        return np.column_stack(grid.pixels(*xy.T))

    return {number: shapely.transform(np.array(found), to_pixels) for number, found in pieces.items() if found}


def _near(zones: Polygons, grid: Grid) -> tuple[np.ndarray, Geometries]:
    """The zones in the surroundings of a grid, cut to them, and their numbers.

    If x goes round the Earth in both CRSs, zones are only cut above and below: `_in_all_turns` finds the rest. All are
    near a grid that reaches beyond what the CRS of the zones can show.
    """
    left, bottom, right, top = surroundings(grid, zones.crs, zones.box)
    if np.isinf(left):
        numbers, geometries = np.arange(len(zones.geometries)), zones.geometries
    elif full_turn(zones.crs) and full_turn(grid.crs):
        west, _, east, _ = zones.bounds
        around = shapely.box(west - 1, bottom, east + 1, top)
        numbers = np.sort(zones.tree.query(around, predicate="intersects"))
        geometries = shapely.intersection(zones.geometries[numbers], around)
    else:
        numbers, geometries = zones.near((left, bottom, right, top))
    return numbers, np.array([only_areas(geometry) for geometry in geometries], dtype=object)


def _in_all_turns(polygon: Polygon, grid: Grid, turn: float) -> Iterator[Polygon]:
    """Yield a polygon moved by each number of whole turns by which it comes to lie on the grid.

    turn: After which distance in x the same place comes again.
    """
    whole = unwrapped(polygon, turn)
    west, _, east, _ = whole.bounds
    left, _, right, _ = grid.bounds
    for number in range(int(np.ceil((left - east) / turn)), int(np.floor((right - west) / turn)) + 1):
        yield shapely.transform(whole, lambda xy, by=number * turn: xy + np.array([by, 0]))


def unwrapped(polygon: Polygon, turn: float) -> Polygon:
    """A polygon without jumps by a whole turn in its rings, which places on both sides of the date line cause.

    Its edges must be short.
    """
    if np.ptp(np.array(polygon.bounds)[::2]) <= turn / 2:
        return polygon
    outer, *holes = (_without_jumps(np.array(ring.coords), turn) for ring in (polygon.exterior, *polygon.interiors))
    middle = _middle(outer)
    inner = [hole + np.array([turn * round((middle - _middle(hole)) / turn), 0]) for hole in holes]
    return Polygon(outer, inner)


def goes_round_a_pole(polygon: Polygon, turn: float) -> bool:
    """Whether a polygon goes round a pole, so that its x in degrees does not come back to where it began."""
    x = _without_jumps(np.array(polygon.exterior.coords), turn)[:, 0]
    return bool(abs(x[-1] - x[0]) > turn / 2)


def _without_jumps(points: np.ndarray, turn: float) -> np.ndarray:
    return np.column_stack([np.unwrap(points[:, 0], period=turn), points[:, 1]])


def _middle(points: np.ndarray) -> float:
    return float(points[:, 0].min() + points[:, 0].max()) / 2
