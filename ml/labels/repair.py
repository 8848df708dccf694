"""Repairs polygons that cross themselves, and refuses those that cross themselves too often.

GEOS needs time that grows with the square of the number of crossings, so crossings are counted first. Counting stops
at a limit.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyproj
import shapely
from shapely.geometry import LinearRing, MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from ml.faults import Note, refuse_any
from ml.geo.areas import polygon_area_ha
from ml.labels.features import MAX_FAULTS, Feature, bad_geometry

MAX_CROSSINGS = 100
MAX_PAIRS_PER_EDGE = 10  # mean number of edges whose bounding boxes overlap that of one edge; neighbours always do
_FEW_VERTICES = 500  # a polygon with this few vertices is always processed fast
_QUERY_PAIRS = 10_000  # pairs of edges that one query should return at most


def repaired(features: Sequence[Feature], crs: pyproj.CRS) -> tuple[list[Feature], tuple[Note, ...]]:
    """Return the features with valid polygons, and notes that say what was repaired and how it changed the areas.

    crs: CRS of the polygons.

    Raises:
        InputRefused: bad_geometry if a polygon crosses itself too often or has no area.
    """
    geometries = np.array([feature.geometry for feature in features])
    valid = np.ones(len(geometries), dtype=bool)
    for i in np.flatnonzero(shapely.get_num_coordinates(geometries) > _FEW_VERTICES).tolist():
        valid[i] = crossings(geometries[i]) <= MAX_CROSSINGS
    valid[valid] = shapely.is_valid(geometries[valid])
    faults, repairs, result = [], dict[int, _Repair](), list(features)
    for i in np.flatnonzero(~valid).tolist():
        repair = _repair(geometries[i])
        if repair is None:
            detail = f"Feature {i + 1} crosses itself too often to be repaired, or has no area."
            faults.append(bad_geometry(detail, f"/features/{i}"))
        else:
            repairs[i] = repair
            result[i] = replace(features[i], geometry=repair.geometry)
    refuse_any(faults[:MAX_FAULTS])
    return result, tuple(_notes(geometries, repairs, crs))


@dataclass(frozen=True)
class _Repair:
    """A repaired polygon, and what was wrong with it: a key of `_WRONG`."""

    geometry: Polygon | MultiPolygon
    wrong: str


_WRONG = {  # by what a polygon does: how it is repaired
    "have parts that overlap": "Overlapping parts are joined, so what they share counts once.",
    "have a hole outside their outline": "What lies in a hole is left out; outside the outline a hole changes nothing.",
    "have a ring twice": "The second one is left out.",
    "cross or touch themselves": "All that an outline encloses is kept, also where it runs the other way round.",
    "have rings that touch or overlap": "What lies in a hole is left out.",
}


def _notes(geometries: np.ndarray, repairs: Mapping[int, _Repair], crs: pyproj.CRS) -> Iterator[Note]:
    """Yield a note for each kind of repair, and one for all if there are several kinds.

    geometries: Polygons as they were drawn, shape (features,). repairs: Repairs by the index of their polygon.
    """
    indices = np.array(list(repairs), dtype=int)
    drawn_ha = polygon_area_ha(geometries[indices], crs)
    repaired_ha = polygon_area_ha(np.array([repair.geometry for repair in repairs.values()], dtype=object), crs)
    kinds = np.array([repair.wrong for repair in repairs.values()], dtype=object)
    for kind in (kind for kind in _WRONG if kind in kinds):
        these = kinds == kind
        listed = ", ".join(str(index + 1) for index in indices[these][:20].tolist())
        detail = f"{these.sum()} polygons {kind} ({_change(drawn_ha[these], repaired_ha[these])}): {listed}."
        yield Note(code="repaired_geometry", detail=detail, hint=f"Check the repaired polygons. {_WRONG[kind]}")
    if len(set(kinds)) > 1:
        detail = f"{len(indices)} polygons were repaired in all ({_change(drawn_ha, repaired_ha)})."
        yield Note(code="repaired_geometry", detail=detail)


def _change(drawn_ha: np.ndarray, repaired_ha: np.ndarray) -> str:
    before, after = float(drawn_ha.sum()), float(repaired_ha.sum())
    return f"{before:.4f} ha as outlines less holes, {after:.4f} ha after the repair, {after - before:+.4f} ha"


def crossings(geometry: Polygon | MultiPolygon) -> int:
    """Count how often the edges of a polygon cross; counting stops soon after `MAX_CROSSINGS`.

    If far too many bounding boxes of edges overlap, return `MAX_CROSSINGS` + 1: GEOS would need minutes.
    """
    edges = edges_of(geometry)
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


def edges_of(geometry: Polygon | MultiPolygon) -> np.ndarray:
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


def _repair(geometry: Polygon | MultiPolygon) -> _Repair | None:
    """Return a valid polygon: the union of the parts, each without its holes.

    GEOS's own repair would keep a hole that lies outside its outline as a part, and leave out what two parts share.

    Returns:
        None if there are too many crossings, or no area is left.
    """
    if crossings(geometry) > MAX_CROSSINGS:
        return None
    parts, wrong = list[Polygon | MultiPolygon](), set[str]()
    for part in shapely.get_parts(geometry):
        outline, *holes = (_filled(ring, wrong) for ring in (part.exterior, *part.interiors))
        real = [hole for hole in holes if not shapely.equals(hole, outline)]
        removed = shapely.union_all(real)
        if len(real) < len(holes):
            wrong.add("have a ring twice")
        if shapely.difference(removed, outline).area > 0:
            wrong.add("have a hole outside their outline")
        parts.append(shapely.difference(outline, removed))
    whole = only_areas(shapely.union_all(parts))
    if whole.is_empty:
        return None
    if sum(part.area for part in parts) > whole.area * (1 + 1e-9):
        wrong.add("have parts that overlap")
    return _Repair(whole, next((kind for kind in _WRONG if kind in wrong), "have rings that touch or overlap"))


def _filled(ring: LinearRing, wrong: set[str]) -> Polygon | MultiPolygon:
    """Return what a ring encloses; if it crosses itself, add that to `wrong`."""
    inside = Polygon(ring)
    if inside.is_valid:
        return inside
    wrong.add("cross or touch themselves")
    return only_areas(shapely.make_valid(inside, method="structure", keep_collapsed=False))


def only_areas(geometry: BaseGeometry) -> Polygon | MultiPolygon:
    """Return the polygons of a geometry, without lines and points."""
    pieces = [piece for piece in shapely.get_parts(geometry) if isinstance(piece, Polygon) and piece.area > 0]
    return pieces[0] if len(pieces) == 1 else MultiPolygon(pieces)
