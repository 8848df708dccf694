"""Reader for GeoJSON (RFC 7946). It uses json and shapely, because OGR would fetch the target of a `crs` link."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
from shapely.geometry import MultiPolygon, Polygon

from ml.faults import Fault, InputRefused
from ml.geo.crs import WGS84, crs_from_code
from ml.labels.features import Feature, FeatureLayer, NoPolygonError, read_features, simple_value


def read_geojson(path: Path) -> FeatureLayer:
    """Read the polygons of a FeatureCollection, a Feature or a bare geometry.

    Coordinates are in WGS 84, or in the CRS that a `crs` member names (GeoJSON before 2016).

    Raises:
        InputRefused: bad_json, bad_crs, bad_geometry, too_many_features.
    """
    document = _parse(path)
    features, without_geometry = read_features(_members(document), _feature)
    return FeatureLayer("geojson", _crs(document), features, without_geometry)


def _parse(path: Path) -> dict[str, Any]:
    hint = "Send GeoJSON in UTF-8, a GeoPackage, a zipped Shapefile or a GeoTIFF mask."
    try:
        text = path.read_bytes().decode("utf-8-sig")
        document = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        detail = "The JSON is nested too deeply."
    except ValueError as error:  # includes UnicodeDecodeError, JSONDecodeError, and an integer of over 4300 digits
        detail = str(error).removesuffix(".")[:200] + "."
    else:
        if isinstance(document, dict):
            return document
        detail = "The JSON is not an object."
    raise InputRefused(Fault("bad_json", f"The file is not GeoJSON. {detail}", hint))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("An object has two members with the same name")
    return members


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


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
        case _:
            yield {"geometry": document}


def _feature(member: Any) -> Feature | None:
    """Read a member of `features`; None if its geometry is null (an unlocated feature in RFC 7946)."""
    if not isinstance(member, dict):
        raise NoPolygonError("the feature is not an object")
    if member.get("geometry") is None:
        return None
    properties = member.get("properties")
    named = properties if isinstance(properties, dict) else {}
    return Feature(_geometry(member["geometry"]), {name: simple_value(value) for name, value in named.items()})


def _geometry(geometry: Any) -> Polygon | MultiPolygon:
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    coordinates = geometry.get("coordinates") if isinstance(geometry, dict) else None
    if kind == "Polygon":
        return _polygon(coordinates)
    if kind == "MultiPolygon" and isinstance(coordinates, list) and coordinates:
        return MultiPolygon([_polygon(rings) for rings in coordinates])
    raise NoPolygonError(f"its geometry has type {str(kind)[:40]!r}, not Polygon or MultiPolygon")


def _polygon(rings: Any) -> Polygon:
    if not isinstance(rings, list) or not rings:
        raise NoPolygonError("a polygon has no rings")
    return Polygon(_ring(rings[0]), [_ring(ring) for ring in rings[1:]])


def _ring(points: Any) -> np.ndarray:
    """Return x and y of the points of a ring, shape (points, 2), float64; heights are dropped."""
    try:
        ring = np.array([(x, y) for x, y, *_ in points], dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise NoPolygonError("a ring contains something other than positions") from None
    if len(ring) < 4 or not (ring[0] == ring[-1]).all() or not np.isfinite(ring).all():
        raise NoPolygonError("a ring needs at least four finite positions, the last equal to the first")
    return ring


def _crs(document: dict[str, Any]) -> pyproj.CRS:
    """Return WGS 84, or the CRS whose code the `crs` member names (GeoJSON before 2016)."""
    member = document.get("crs")
    if member is None:
        return WGS84
    named = isinstance(member, dict) and member.get("type") == "name" and isinstance(member.get("properties"), dict)
    return crs_from_code(str(member["properties"].get("name")) if named else "")
