"""Reader for polygons in well-known binary.

GEOS reads nested collections by recursion and dies of a deep one, so it never sees these bytes: a multipolygon is two
levels deep, and only polygons are read. ISO codes and the flags of EWKB for z, m and SRID are understood.
"""

import struct
from dataclasses import dataclass

import numpy as np
from shapely.geometry import MultiPolygon, Polygon

from ml.labels.features import NoPolygonError
from ml.labels.formats.outlines import one_geometry, polygon_of

_POLYGON, _MULTIPOLYGON = 3, 6
_CURVES = {8: "CircularString", 9: "CompoundCurve", 10: "CurvePolygon", 11: "MultiCurve", 12: "MultiSurface"}
_SOLIDS = {15: "PolyhedralSurface", 16: "TIN", 17: "Triangle"}
_OTHERS = {1: "Point", 2: "LineString", 4: "MultiPoint", 5: "MultiLineString", 7: "GeometryCollection"}
_NAMES = {_POLYGON: "Polygon", _MULTIPOLYGON: "MultiPolygon"} | _OTHERS | _CURVES | _SOLIDS
_EWKB_Z, _EWKB_M, _EWKB_SRID = 0x80000000, 0x40000000, 0x20000000
_STRAIGHTEN = "Turn curves into straight edges: ogr2ogr -nlt CONVERT_TO_LINEAR -nlt PROMOTE_TO_MULTI new.gpkg old.gpkg"
_SPLIT = "Turn the faces into polygons: ogr2ogr -nlt MULTIPOLYGON new.gpkg old.gpkg"
_SHORT = "its bytes end too early, or name more positions than they hold"


def polygon_from_wkb(wkb: bytes) -> Polygon | MultiPolygon | None:
    """Return the polygon or multipolygon in `wkb`, without z and m; None if it is empty.

    Raises:
        NoPolygonError: The bytes hold another geometry, a curve for instance, or are damaged.
    """
    try:
        polygons, end = _geometry(wkb)
    except struct.error:
        raise NoPolygonError(_SHORT) from None
    if end != len(wkb):
        raise NoPolygonError("bytes follow its geometry")
    return one_geometry(polygons)


@dataclass(frozen=True)
class _Header:
    """Start of a geometry. order: "<" or ">"; kind: code without z and m; dimensions: numbers in a position."""

    order: str
    kind: int
    dimensions: int
    end: int


def _header(wkb: bytes, start: int) -> _Header:
    order = {0: ">", 1: "<"}.get(struct.unpack_from("B", wkb, start)[0])
    if order is None:
        raise NoPolygonError("it is not well-known binary")
    (code,) = struct.unpack_from(f"{order}I", wkb, start + 1)
    iso, kind = divmod(code & 0x1FFFFFFF, 1000)
    z, m = bool(code & _EWKB_Z) or iso in (1, 3), bool(code & _EWKB_M) or iso in (2, 3)
    if iso > 3:
        raise NoPolygonError(f"its geometry has the unknown type {code}")
    return _Header(order, kind, 2 + z + m, start + 5 + (4 if code & _EWKB_SRID else 0))


def _geometry(wkb: bytes) -> tuple[list[Polygon], int]:
    """Return the polygons of the geometry, without empty ones, and the position of the byte after the geometry."""
    header = _header(wkb, 0)
    if header.kind != _MULTIPOLYGON:
        polygon, end = _polygon(wkb, header)
        return [polygon] if polygon else [], end
    (count,) = struct.unpack_from(f"{header.order}I", wkb, header.end)
    polygons, end = [], header.end + 4
    for _ in range(count):  # ends with struct.error where the bytes do, whatever the count says
        polygon, end = _polygon(wkb, _header(wkb, end))
        polygons += [polygon] if polygon else []
    return polygons, end


def _polygon(wkb: bytes, header: _Header) -> tuple[Polygon | None, int]:
    if header.kind != _POLYGON:
        raise _no_polygon(header.kind)
    (count,) = struct.unpack_from(f"{header.order}I", wkb, header.end)
    rings, end = [], header.end + 4
    for _ in range(count):
        (positions,) = struct.unpack_from(f"{header.order}I", wkb, end)
        if positions * header.dimensions * 8 > len(wkb) - end - 4:
            raise NoPolygonError(_SHORT)
        numbers = np.frombuffer(wkb, f"{header.order}f8", positions * header.dimensions, end + 4)
        rings.append(numbers.reshape(positions, header.dimensions)[:, :2].astype(np.float64))
        end += 4 + numbers.nbytes
    return polygon_of(rings) if rings else None, end


def _no_polygon(kind: int) -> NoPolygonError:
    message = f"its geometry is a {_NAMES.get(kind, f'geometry of type {kind}')}, not a Polygon or a MultiPolygon"
    if kind in _CURVES:
        return NoPolygonError(message, _STRAIGHTEN)
    return NoPolygonError(message, _SPLIT) if kind in _SOLIDS else NoPolygonError(message)
