"""Reader for the geometries of a Shapefile: a .shp file, whose records a .shx file finds."""

import struct
from collections.abc import Iterator, Sequence

import numpy as np
import shapely
from shapely.geometry import LinearRing, MultiPolygon, Polygon

from ml.labels.features import NoPolygonError
from ml.labels.outlines import check_ring, one_geometry

_HEADER, _RECORD_HEADER = 100, 8  # bytes
_MAGIC = 9994
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
    places = np.frombuffer(shx, ">i4", offset=_HEADER).reshape(-1, 2)[:, 0].astype(np.int64) * 2
    if len(places) and (places.min() < _HEADER or places.max() > len(shp) - _RECORD_HEADER):
        raise BadShapesError("the .shx names a record outside the .shp")
    if len(np.unique(places)) < len(places):
        raise BadShapesError("the .shx names one record twice")
    order = np.append(np.sort(places), len(shp))
    following = order[np.searchsorted(order, places, side="right")] if len(places) else order[:0]
    for place, end in zip(places.tolist(), following.tolist(), strict=True):
        (words,) = struct.unpack_from(">i", shp, place + 4)
        if words < 2 or place + _RECORD_HEADER + 2 * words > end:
            raise BadShapesError("records of the .shp overlap, or one reaches beyond its end")
        yield shp[place + _RECORD_HEADER : place + _RECORD_HEADER + 2 * words]


def polygon_from_record(record: bytes) -> tuple[Polygon | MultiPolygon | None, bool]:
    """Return the polygon in a record, None if it is empty, and whether its rings wind the wrong way.

    Clockwise rings are outlines, others are holes. Where holes lie in no outline so, but do so when the rings are
    read the other way round, the writer had them the wrong way.

    Raises:
        NoPolygonError: The shape is no polygon, its counts contradict its size, or a hole lies in no outline.
    """
    (kind,) = struct.unpack_from("<i", record)
    if kind == _NULL:
        return None, False
    if kind not in _POLYGONS:
        raise NoPolygonError(f"its shape is a {_NAMES.get(kind, f'shape of type {kind}')}, not a Polygon")
    rings = [LinearRing(points) for points in _rings(record)]
    outlines, holes = [ring for ring in rings if not ring.is_ccw], [ring for ring in rings if ring.is_ccw]
    geometry = _assembled(outlines, holes)
    if geometry is not None or not rings:
        return geometry, False
    geometry = _assembled(holes, outlines)
    if geometry is None:
        raise NoPolygonError("one of its holes lies in no outline", _WAYS)
    return geometry, True


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
    rings = np.split(positions, starts[1:].tolist())
    for ring in rings:
        check_ring(ring)
    return rings


def _assembled(outlines: Sequence[LinearRing], holes: Sequence[LinearRing]) -> Polygon | MultiPolygon | None:
    """Build the polygons of `outlines`, each with the holes in it; None if a hole lies in no outline.

    A hole belongs to the smallest outline that contains it.
    """
    filled = [Polygon(ring) for ring in outlines]
    inside: list[list[LinearRing]] = [[] for _ in outlines]
    if holes:
        owners = _owners(np.array(filled), np.array([Polygon(ring) for ring in holes]))
        if owners is None:
            return None
        for hole, owner in zip(holes, owners, strict=True):
            inside[owner].append(hole)
    return one_geometry([Polygon(ring, own) for ring, own in zip(outlines, inside, strict=True)])


def _owners(outlines: np.ndarray, holes: np.ndarray) -> list[int] | None:
    """Return the number of the smallest outline around each hole; None if a hole has none. Shapes: (polygons,)."""
    if not len(outlines):
        return None
    points, outer, inner = shapely.point_on_surface(holes), shapely.area(outlines), shapely.area(holes)
    number, around = shapely.STRtree(outlines).query(points)
    shapely.prepare(outlines)
    larger = (outer[around] >= inner[number]) & shapely.contains(outlines[around], points[number])
    owners = dict[int, int]()
    for hole, outline in zip(number[larger].tolist(), around[larger].tolist(), strict=True):
        if hole not in owners or outer[outline] < outer[owners[hole]]:
            owners[hole] = outline
    return [owners[hole] for hole in range(len(holes))] if len(owners) == len(holes) else None
