"""Reader for the geometries of a Shapefile: a .shp file, whose records a .shx file finds."""

import struct
from collections.abc import Iterator, Sequence

import numpy as np
import shapely
from shapely.geometry import MultiPolygon, Polygon

from ml.labels.features import NoPolygonError
from ml.labels.formats.outlines import check_ring, one_geometry

_HEADER, _RECORD_HEADER = 100, 8  # bytes
_MAGIC = 9994
_MAX_PAIRS = 1_000_000  # of rings, of which one lies in the other
_NULL, _POLYGONS = 0, (5, 15, 25)  # types of shapes: polygons, with z, with m
_NAMES = {
    1: "Point",
    3: "PolyLine",
    8: "MultiPoint",
    11: "PointZ",
    13: "PolyLineZ",
    18: "MultiPointZ",
    31: "MultiPatch",
}
_WAYS = "Write the polygon again with one tool: outlines clockwise, holes counter-clockwise."


class BadShapesError(ValueError):
    """A .shp or .shx file is damaged. The message says why, without a full stop."""


def read_records(shp: bytes, shx: bytes) -> Iterator[bytes]:
    """Yield the content of each record in the order of the .shx file.

    Tools that change a shape leave the old one in the .shp file, so only the .shx file tells which records count.

    Raises:
        BadShapesError: A record lies outside the file, or records overlap.
    """
    for name, content in ((".shp", shp), (".shx", shx)):
        if len(content) < _HEADER or struct.unpack_from(">i", content)[0] != _MAGIC:
            raise BadShapesError(f"the {name} does not begin as one")
    if (len(shx) - _HEADER) % 8 or 2 * struct.unpack_from(">i", shx, 24)[0] != len(shx):
        raise BadShapesError("the .shx is longer or shorter than its header says")
    index = np.frombuffer(shx, ">i4", offset=_HEADER).reshape(-1, 2).astype(np.int64) * 2
    places, sizes = index[:, 0], index[:, 1] + _RECORD_HEADER
    order = np.argsort(places)
    starts = np.append(places[order], len(shp))
    too_long = places[order] + sizes[order] > starts[1:]
    if starts[0] < _HEADER or (sizes < _RECORD_HEADER + 4).any() or too_long.any():
        raise BadShapesError("records of the .shp overlap, or one lies outside it")
    for place, size in zip(places.tolist(), sizes.tolist(), strict=True):
        if 2 * struct.unpack_from(">i", shp, place + 4)[0] + _RECORD_HEADER != size:
            raise BadShapesError("the .shx and the .shp give a record different lengths")
        yield shp[place + _RECORD_HEADER : place + size]


def polygon_from_record(record: bytes) -> tuple[Polygon | MultiPolygon | None, bool]:
    """Return the polygon in a record, None if it is empty, and whether its rings wind the wrong way.

    Clockwise rings are outlines, others are holes. Where a hole lies in no outline so, rings that lie in an odd number
    of others are the holes, provided that all outlines wind alike then.

    Raises:
        NoPolygonError: The shape is no polygon, its counts contradict its size, or a hole lies in no outline.
    """
    (kind,) = struct.unpack_from("<i", record)
    if kind == _NULL:
        return None, False
    if kind not in _POLYGONS:
        raise NoPolygonError(f"its shape is a {_NAMES.get(kind, f'shape of type {kind}')}, not a Polygon")
    rings = _rings(record)
    if not rings:
        return None, False
    if len(rings) == 1:  # by far the most polygons: the way that their outline winds does not matter
        return Polygon(rings[0]), not _is_clockwise(rings[0])
    polygons = np.array([Polygon(ring) for ring in rings])
    clockwise = np.array([_is_clockwise(ring) for ring in rings])
    owners = _owners(polygons, ~clockwise)
    if owners is not None:
        return _assembled(rings, ~clockwise, owners), False
    inside, _ = _containing(polygons, np.arange(len(rings)), np.arange(len(rings)))
    is_hole = np.bincount(inside, minlength=len(rings)) % 2 == 1
    owners = None if clockwise[~is_hole].any() else _owners(polygons, is_hole)
    if owners is None:
        raise NoPolygonError("one of its holes lies in no outline", _WAYS)
    return _assembled(rings, is_hole, owners), True


def _rings(record: bytes) -> list[np.ndarray]:
    """Return the positions of each ring, shape (positions, 2), float64."""
    if len(record) < 44:
        raise NoPolygonError("its record is too short")
    parts, points = struct.unpack_from("<2i", record, 36)
    if parts < 0 or points < 0 or 44 + 4 * parts + 16 * points > len(record):
        raise NoPolygonError("its record names more positions than it holds")
    if parts == 0:
        return []
    starts = np.frombuffer(record, "<i4", parts, 44)
    if starts[0] != 0 or (np.diff(starts) <= 0).any() or starts[-1] >= points:
        raise NoPolygonError("its record has rings that overlap or are empty")
    positions = np.frombuffer(record, "<f8", 2 * points, 44 + 4 * parts).reshape(points, 2).astype(np.float64)
    rings = np.split(positions, starts[1:].tolist()) if parts > 1 else [positions]
    for ring in rings:
        check_ring(ring)
    return rings


def _is_clockwise(ring: np.ndarray) -> bool:
    """Whether a ring, shape (positions, 2), encloses more area clockwise than counter-clockwise."""
    x, y = (ring - ring[0]).T
    return bool((x[:-1] * y[1:] - x[1:] * y[:-1]).sum() < 0)


def _owners(polygons: np.ndarray, is_hole: np.ndarray) -> dict[int, int] | None:
    """Return the number of the smallest outline around each hole; None if a hole has none around it.

    polygons: The area in each ring, shape (rings,). is_hole: Whether the ring is a hole, shape (rings,), bool.
    """
    holes = np.flatnonzero(is_hole)
    inner, outer = _containing(polygons, holes, np.flatnonzero(~is_hole))
    from_large = np.argsort(-shapely.area(polygons[outer]), kind="stable")  # the smallest comes last, and stays
    owners = dict(zip(inner[from_large].tolist(), outer[from_large].tolist(), strict=True))
    return owners if len(owners) == len(holes) else None


def _assembled(
    rings: Sequence[np.ndarray], is_hole: np.ndarray, owners: dict[int, int]
) -> Polygon | MultiPolygon | None:
    inside: dict[int, list[np.ndarray]] = {number: [] for number in np.flatnonzero(~is_hole).tolist()}
    for hole in np.flatnonzero(is_hole).tolist():
        inside[owners[hole]].append(rings[hole])
    return one_geometry([Polygon(rings[number], own) for number, own in inside.items()])


def _containing(polygons: np.ndarray, inner: np.ndarray, outer: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of polygons of which one, of `inner`, lies in the other, of `outer`, by their numbers.

    Raises:
        NoPolygonError: The polygons lie in each other too often, like the rings of a target.
    """
    if not len(inner) or not len(outer):
        return inner[:0], outer[:0]
    points, areas = shapely.point_on_surface(polygons[inner]), shapely.area(polygons)
    tree = shapely.STRtree(polygons[outer])
    shapely.prepare(polygons)
    step, found = max(1, _MAX_PAIRS // len(outer)), list[np.ndarray]()
    for start in range(0, len(inner), step):
        one, other = tree.query(points[start : start + step])
        pairs = np.stack([inner[one + start], outer[other]])
        larger = (areas[pairs[1]] >= areas[pairs[0]]) & (pairs[0] != pairs[1])
        found.append(pairs[:, larger & shapely.contains(polygons[pairs[1]], points[one + start])])
        if sum(each.shape[1] for each in found) > _MAX_PAIRS:
            raise NoPolygonError("its rings lie in each other too often")
    inside, around = np.concatenate(found, axis=1)
    return inside, around
