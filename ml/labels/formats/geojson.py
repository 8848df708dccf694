"""Reader for GeoJSON (RFC 7946). It uses json and shapely, because OGR would fetch the target of a `crs` link."""

import codecs
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely
from shapely.geometry import MultiPolygon, Polygon

from ml.faults import Fault, InputRefused
from ml.geo.crs import WGS84, crs_from_code
from ml.geo.crs_codes import contradictory, different
from ml.labels.features import Feature, FeatureLayer, NoPolygonError, Unread, read_features, usable_crs_of
from ml.labels.formats.outlines import one_geometry, polygon_of
from ml.labels.formats.several_layers import refuse_layer

MAX_BYTES = 64 << 20
MAX_PARSED_BYTES = 256 << 20  # memory that the values of a document may need
# what each list, object, value and quote of a document needs in memory, roughly, as Python holds it
_BYTES_OF = {b"[": 72, b"{": 96, b",": 32, b'"': 25}
_GEOMETRIES = ("Point", "LineString", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon", "GeometryCollection")
_MEMBERS = {"type", "id", "bbox", "geometry", "properties", "crs"}  # of a Feature
# an escaped NUL or half of a character, which no database and no UTF-8 can hold, unless two halves make a whole
_SUSPICIOUS = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
_FIRST_IN_TEXT = 9  # a tab: no text has lower bytes but NUL
_SEND = "Send GeoJSON in UTF-8, a GeoPackage, a zipped Shapefile or a GeoTIFF mask."
_AS_GEOJSON = "Send the layer as a GeoPackage: ogr2ogr new.gpkg old.json"
_CONVERT = "Convert it: ogr2ogr -f GeoJSON new.geojson"


def read_geojson(path: Path, layer: str | None = None) -> FeatureLayer:
    """Read the polygons of a FeatureCollection, a Feature or a bare geometry.

    Coordinates are in WGS 84, or in the CRS that a `crs` member names (GeoJSON before 2016).

    layer: None: GeoJSON holds one layer only.

    Raises:
        InputRefused: bad_json, unknown_layer, bad_geometry, too_many_features, too_large.
    """
    refuse_layer(layer, "GeoJSON")
    document, unread = _parse(path), Unread()
    _refuse_relatives(document)
    features, without_geometry = read_features(_members(document), lambda member: _feature(member, document, unread))
    crs, refused = usable_crs_of(lambda: _crs(document))
    if crs == WGS84:
        _refuse_across_date_line(features)
    return FeatureLayer("geojson", crs, features, without_geometry, notes=unread.notes(), crs_refused=refused)


def _refuse_across_date_line(features: Sequence[Feature]) -> None:
    """Raise bad_extent for polygons that go beyond 180 degrees: RFC 7946, 3.1.9, has them cut at the date line.

    Other readers of the same file would draw them on the wrong side of the Earth, or leave them out.
    """
    west, _, east, _ = shapely.bounds(np.array([feature.geometry for feature in features])).reshape(-1, 4).T
    across = np.flatnonzero(((west < 180) & (east > 180)) | ((west < -180) & (east > -180)))
    if len(across):
        farthest = max(west[across].min(), east[across].max(), key=abs)
        detail = f"{len(across)} polygons go beyond 180 degrees of longitude, as far as {farthest:.6g}."
        hint = "Cut them at the date line: ogr2ogr -lco RFC7946=YES new.geojson old.geojson; or send a GeoPackage."
        raise InputRefused(Fault("bad_extent", detail, hint))


def _bad(detail: str, hint: str = _SEND) -> InputRefused:
    return InputRefused(Fault("bad_json", f"The file is not GeoJSON. {detail}", hint))


def _parse(path: Path) -> dict[str, Any]:
    text = _text(path)
    hook = _unique_and_whole if _SUSPICIOUS.search(text) else _unique
    try:
        document = json.loads(text, object_pairs_hook=hook, parse_constant=_no_constant)
    except RecursionError:
        raise _bad("The JSON is nested too deeply.") from None
    except json.JSONDecodeError as error:
        if text.startswith("\x1e") or (error.msg == "Extra data" and text.lstrip().startswith("{")):
            hint = f"{_CONVERT} GeoJSONSeq:old.geojsonl"
            raise _bad("It holds several JSON texts, like a GeoJSON sequence.", hint) from None
        raise _bad(f"{error}."[:200]) from None
    except ValueError as error:  # an integer of over 4300 digits, or a fault that the hooks found
        raise _bad(f"{str(error).removesuffix('.')[:200]}.") from None
    if not isinstance(document, dict):
        raise _bad("The JSON is not an object.")
    return document


def _text(path: Path) -> str:
    """Return the text of the file. Raise too_large if its values would need too much memory."""
    raw = path.read_bytes()
    needed = sum(raw.count(sign) * size for sign, size in _BYTES_OF.items())
    if len(raw) > MAX_BYTES or needed > MAX_PARSED_BYTES:
        detail = f"The GeoJSON has over {MAX_BYTES >> 20} MiB, or needs over {MAX_PARSED_BYTES >> 20} MiB of memory."
        raise InputRefused(Fault("too_large", detail, "Send a GeoPackage: ogr2ogr new.gpkg old.geojson"))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        other = _other_encoding(raw)
        if not other and any(0 < byte < _FIRST_IN_TEXT for byte in raw[:512]):
            raise _bad("It is a binary file of another format.") from None
        raise _bad(f"It is not in UTF-8{other}.", "Save it in UTF-8.") from None


def _other_encoding(raw: bytes) -> str:
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in raw[:4]:
        return ", but in UTF-16"
    try:
        raw.decode("gb18030")
    except UnicodeDecodeError:
        return ""
    return ", but perhaps in GBK or GB 18030"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("An object has two members with the same name")
    return members


def _unique_and_whole(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for text in (each for pair in pairs for each in pair if isinstance(each, str)):
        if "\0" in text or text.encode("utf-8", "replace").decode() != text:
            raise ValueError("A text has a NUL, or half of a character")
    return _unique(pairs)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _refuse_relatives(document: dict[str, Any]) -> None:
    """Raise bad_json for documents that other programs write and that look like GeoJSON."""
    if document.get("type") == "Topology":
        raise _bad("It is TopoJSON.", f"{_CONVERT} old.topojson")
    if "geometryType" in document or "rings" in document:
        raise _bad("It is JSON of Esri's.", f"{_CONVERT} old.json")


def _members(document: dict[str, Any]) -> Iterator[Any]:
    match document.get("type"):
        case "FeatureCollection":
            features = document.get("features")
            if not isinstance(features, list):
                raise InputRefused(
                    Fault("bad_json", "The FeatureCollection has no list of features.", "Export it again.")
                )
            yield from features
        case "Feature":
            yield document
        case kind if kind in _GEOMETRIES:
            yield {"geometry": document}
        case kind:
            raise _bad(f"Its type is {str(kind)[:40]!r}.")


def _feature(member: Any, document: dict[str, Any], unread: Unread) -> Feature | None:
    """Read a member of `features`; None if its geometry is null or empty (an unlocated feature in RFC 7946)."""
    if not isinstance(member, dict) or member.get("type", "Feature") != "Feature":
        raise NoPolygonError("it is not a Feature")
    geometry, properties = member.get("geometry"), member.get("properties")
    missing = [name for name in ("geometry", "properties") if name not in member]
    if missing and member.keys() - _MEMBERS:
        raise NoPolygonError(f"it has no {missing[0]}, but members of other names")
    if not isinstance(properties, dict | None):
        raise NoPolygonError("its properties are not an object")
    for part in (member, geometry):
        if isinstance(part, dict) and part.get("crs", document.get("crs")) != document.get("crs"):
            raise NoPolygonError("it names a coordinate reference system of its own")
    if geometry is None and member.get("place") is not None:
        raise NoPolygonError("its geometry stands in `place`, as JSON-FG has it", _AS_GEOJSON)
    polygons = None if geometry is None else _geometry(geometry)
    if polygons is None:
        return None
    return Feature(polygons, {name: unread.simple(name, value) for name, value in (properties or {}).items()})


def _geometry(geometry: Any) -> Polygon | MultiPolygon | None:
    """Return the polygons of a geometry; None if there are none."""
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    coordinates = geometry.get("coordinates") if isinstance(geometry, dict) else None
    if kind not in ("Polygon", "MultiPolygon"):
        raise NoPolygonError(f"its geometry has type {str(kind)[:40]!r}, not Polygon or MultiPolygon")
    polygons = [coordinates] if kind == "Polygon" else coordinates
    if not isinstance(polygons, list) or not all(isinstance(rings, list) for rings in polygons):
        raise NoPolygonError("it has no list of rings")
    return one_geometry([polygon_of([_ring(ring) for ring in rings]) for rings in polygons if rings])


def _ring(points: Any) -> np.ndarray:
    """Return x and y of the points of a ring, shape (points, 2), float64; heights are dropped."""
    try:
        numbers = {type(number) for point in points for number in point} <= {int, float}
        lists = isinstance(points, list) and {type(point) for point in points} <= {list}
        ring = np.array([(x, y) for x, y, *_ in points], dtype=np.float64).reshape(-1, 2)
    except (TypeError, ValueError, OverflowError):
        numbers = lists = False
    if not (numbers and lists):
        raise NoPolygonError("a ring contains something other than positions")
    return ring


def _crs(document: dict[str, Any]) -> pyproj.CRS:
    """Return WGS 84, or the CRS whose code the `crs` member names (GeoJSON before 2016)."""
    member = document.get("crs")
    if member is None:
        return WGS84
    properties = member.get("properties") if isinstance(member, dict) else None
    if not isinstance(properties, dict):
        return crs_from_code("")
    named = member.get("type") == "name"
    if not named and member.get("type") != "EPSG":
        return crs_from_code("")
    names = [str(properties["name"])] if "name" in properties else []
    codes = [f"EPSG:{properties['code']}"] if "code" in properties else []
    one, *others = ((names + codes) if named else (codes + names)) or [""]
    crs = crs_from_code(one)
    if any(different(crs, crs_from_code(other)) for other in others):
        raise contradictory(one, others[0])
    return crs
