"""Repairs polygons that cross themselves, and refuses those that cross themselves too often.

GEOS needs time that grows with the square of the number of crossings, so crossings are counted first. Counting stops
at a limit.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import shapely
from shapely.geometry import MultiPolygon, Polygon

from ml.faults import Note, refuse_any
from ml.labels.features import MAX_FAULTS, Feature, bad_geometry

MAX_CROSSINGS = 100
MAX_PAIRS_PER_EDGE = 10  # mean number of edges whose bounding boxes overlap that of one edge; neighbours always do
_FEW_VERTICES = 500  # a polygon with this few vertices is always processed fast
_QUERY_PAIRS = 10_000  # pairs of edges that one query should return at most


def repaired(features: Sequence[Feature]) -> tuple[list[Feature], tuple[Note, ...]]:
    """Return the features with valid polygons, and a note that lists the repaired ones.

    Raises:
        InputRefused: bad_geometry if a polygon crosses itself too often or has no area.
    """
    geometries = np.array([feature.geometry for feature in features])
    valid = np.ones(len(geometries), dtype=bool)
    for i in np.flatnonzero(shapely.get_num_coordinates(geometries) > _FEW_VERTICES).tolist():
        valid[i] = crossings(geometries[i]) <= MAX_CROSSINGS
    valid[valid] = shapely.is_valid(geometries[valid])
    faults, repaired_numbers, result = [], [], list(features)
    for i in np.flatnonzero(~valid).tolist():
        geometry = _repair(geometries[i])
        if geometry is None:
            detail = f"Feature {i + 1} crosses itself too often to be repaired, or has no area."
            faults.append(bad_geometry(detail, f"/features/{i}"))
        else:
            repaired_numbers.append(str(i + 1))
            result[i] = replace(features[i], geometry=geometry)
    refuse_any(faults[:MAX_FAULTS])
    if not repaired_numbers:
        return result, ()
    detail = f"{len(repaired_numbers)} polygons crossed or touched themselves: {', '.join(repaired_numbers[:20])}."
    hint = "Check the repaired polygons. The repair keeps the areas that the outlines enclose."
    return result, (Note(code="repaired_geometry", detail=detail, hint=hint),)


def crossings(geometry: Polygon | MultiPolygon) -> int:
    """Count how often the edges of a polygon cross; counting stops soon after `MAX_CROSSINGS`.

    If far too many bounding boxes of edges overlap, return `MAX_CROSSINGS` + 1: GEOS would need minutes.
    """
    edges = _edges(geometry)
    lines = shapely.linestrings(edges)
    tree = shapely.STRtree(lines)
    found = pairs = start = 0
    step = 1
    while start < len(edges) and found <= MAX_CROSSINGS:
        one, other = tree.query(lines[start : start + step])
        later = other > one + start
        found += int(_cross(edges[one[later] + start], edges[other[later]]).sum())
        pairs += len(one)
        if pairs > MAX_PAIRS_PER_EDGE * (len(edges) + _QUERY_PAIRS):
            return MAX_CROSSINGS + 1
        start += step
        step = step * 2 if len(one) < _QUERY_PAIRS else max(1, step // 2)
    return found


def _edges(geometry: Polygon | MultiPolygon) -> np.ndarray:
    """Return the edges of all rings, shape (edges, 2, 2), float64: edge, start or end, x or y."""
    rings = shapely.get_rings(shapely.get_parts(geometry))
    points, ring_of = shapely.get_coordinates(rings, return_index=True)
    joined = ring_of[:-1] == ring_of[1:]
    return np.stack([points[:-1][joined], points[1:][joined]], axis=1)


def _cross(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return which pairs of edges cross, shape (pairs,), bool: the ends of each edge lie on two sides of the other."""

    def side(line: np.ndarray, point: np.ndarray) -> np.ndarray:
        along, to = line[:, 1] - line[:, 0], point - line[:, 0]
        return np.asarray(np.sign(along[:, 0] * to[:, 1] - along[:, 1] * to[:, 0]))

    apart = side(one, other[:, 0]) * side(one, other[:, 1]) < 0
    return np.asarray(apart & (side(other, one[:, 0]) * side(other, one[:, 1]) < 0))


def _repair(geometry: Polygon | MultiPolygon) -> Polygon | MultiPolygon | None:
    """Return the areas that the edges enclose; None if there are too many crossings, or no area."""
    if crossings(geometry) > MAX_CROSSINGS:
        return None
    pieces = shapely.get_parts(shapely.make_valid(geometry))
    merged = shapely.union_all([piece for piece in pieces if piece.geom_type.endswith("Polygon")])
    return merged if isinstance(merged, Polygon | MultiPolygon) and merged.area > 0 else None
