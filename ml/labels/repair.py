"""Polygons that cross themselves: mended where that is plausible, refused where it is hopeless.

GEOS needs time that grows with the square of the crossings, so those are counted first, and the counting is bounded.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import shapely
from shapely.geometry import MultiPolygon, Polygon

from ml.faults import Note, refuse_any
from ml.labels.features import MAX_FAULTS, Feature, bad_geometry

MAX_CROSSINGS = 100
MAX_PAIRS_PER_EDGE = 10  # of edges whose boxes overlap, on average; neighbours make one
_FEW_VERTICES = 500  # nothing takes long with so few
_QUERY_PAIRS = 10_000


def repaired(features: Sequence[Feature]) -> tuple[list[Feature], tuple[Note, ...]]:
    """The features with valid polygons, and a note of those that were mended.

    Raises:
        InputRefused: bad_geometry, a polygon crosses itself too often or has no area.
    """
    geometries = np.array([feature.geometry for feature in features])
    valid = np.ones(len(geometries), dtype=bool)
    for i in np.flatnonzero(shapely.get_num_coordinates(geometries) > _FEW_VERTICES).tolist():
        valid[i] = crossings(geometries[i]) <= MAX_CROSSINGS
    valid[valid] = shapely.is_valid(geometries[valid])
    faults, mended, result = [], [], list(features)
    for i in np.flatnonzero(~valid).tolist():
        geometry = _mended(geometries[i])
        if geometry is None:
            faults.append(
                bad_geometry(
                    f"Feature {i + 1} crosses itself too often to be mended, or has no area.", f"/features/{i}"
                )
            )
        else:
            mended.append(str(i + 1))
            result[i] = replace(features[i], geometry=geometry)
    refuse_any(faults[:MAX_FAULTS])
    if not mended:
        return result, ()
    detail = f"{len(mended)} polygons crossed or touched themselves: {', '.join(mended[:20])}."
    return result, (
        Note(code="repaired_geometry", detail=detail, hint="Look at them: the repair keeps what was inside."),
    )


def crossings(geometry: Polygon | MultiPolygon) -> int:
    """How often the edges of a polygon cross, counted up to a little over `MAX_CROSSINGS`.

    A polygon whose edges' boxes overlap more than is natural counts as crossing too often: GEOS would take minutes.
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
    """The edges of all rings, float64 (edges, 2 ends, x and y)."""
    rings = shapely.get_rings(shapely.get_parts(geometry))
    points, ring_of = shapely.get_coordinates(rings, return_index=True)
    joined = ring_of[:-1] == ring_of[1:]
    return np.stack([points[:-1][joined], points[1:][joined]], axis=1)


def _cross(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Whether pairs of edges cross inside both: the ends of each lie on different sides of the other. bool (pairs,)."""

    def side(line: np.ndarray, point: np.ndarray) -> np.ndarray:
        along, to = line[:, 1] - line[:, 0], point - line[:, 0]
        return np.asarray(np.sign(along[:, 0] * to[:, 1] - along[:, 1] * to[:, 0]))

    apart = side(one, other[:, 0]) * side(one, other[:, 1]) < 0
    return np.asarray(apart & (side(other, one[:, 0]) * side(other, one[:, 1]) < 0))


def _mended(geometry: Polygon | MultiPolygon) -> Polygon | MultiPolygon | None:
    """The areas that the edges enclose; None if that cannot be found out in reasonable time, or is nothing."""
    if crossings(geometry) > MAX_CROSSINGS:
        return None
    parts = [part for part in shapely.get_parts(shapely.make_valid(geometry)) if part.geom_type.endswith("Polygon")]
    merged = shapely.union_all(parts)
    return merged if isinstance(merged, Polygon | MultiPolygon) and merged.area > 0 else None
