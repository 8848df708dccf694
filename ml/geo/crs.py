"""Coordinate reference systems. As in GIS files, x is always easting or longitude, and y northing or latitude."""

import re
from functools import lru_cache

import numpy as np
import pyproj
from pyproj.exceptions import CRSError, ProjError

from ml.faults import Fault, InputRefused
from ml.geo.operations import WGS84 as WGS84
from ml.geo.operations import Box, operation

_CODE = re.compile(r"(?:urn:(?:x-)?ogc:def:crs:)?(EPSG|ESRI|OGC)(?::[\d.]*)?:(CRS84|\d{1,6})", re.IGNORECASE)
_URL = re.compile(r"https?://www\.opengis\.net/def/crs/(EPSG|ESRI|OGC)/[\d.]+/(CRS84|\d{1,6})", re.IGNORECASE)
_MAX_WKT = 64 << 10  # characters
_EARTH_M = (6_350_000, 6_400_000)  # range of the semi-major axes of ellipsoids of the Earth, in metres
_CYLINDRICAL = (
    "Popular Visualisation Pseudo Mercator",
    "Mercator (variant A)",
    "Mercator (variant B)",
    "Mercator (Spherical)",
    "Equidistant Cylindrical",
    "Equidistant Cylindrical (Spherical)",
    "Lambert Cylindrical Equal Area",
    "Lambert Cylindrical Equal Area (Spherical)",
    "Miller Cylindrical",
)
_HINT = "Declare the CRS by an authority's code, like EPSG:32648, EPSG:4490 (CGCS2000) or OGC:CRS84."


def crs_from_code(text: str) -> pyproj.CRS:
    """Return the CRS with an authority's code, like "EPSG:32648" or "urn:ogc:def:crs:OGC:1.3:CRS84".

    The code may be written as the URL that OGC gives it, like "http://www.opengis.net/def/crs/EPSG/0/32648", which is
    not opened. Nothing else is accepted, because PROJ would also open paths and URLs.

    Raises:
        InputRefused: bad_crs if the text is not a code, or no CRS has the code; unknown_crs as for `usable_crs`.
    """
    match = _CODE.fullmatch(text.strip()) or _URL.fullmatch(text.strip())
    if match is None:
        raise InputRefused(Fault("bad_crs", "The coordinate reference system is not a known code.", _HINT))
    try:
        crs = pyproj.CRS.from_authority(match[1].upper(), match[2].upper())
    except CRSError:
        detail = f"There is no coordinate reference system {match[1]}:{match[2]}."
        raise InputRefused(Fault("bad_crs", detail, _HINT)) from None
    return usable_crs(crs)


def crs_from_wkt(wkt: str) -> pyproj.CRS:
    """Return the horizontal part of the CRS that a WKT describes, from a scene, a .prj file or a GeoPackage.

    Raises:
        InputRefused: unknown_crs if the WKT cannot be read, or as for `usable_crs`.
    """
    try:
        crs = pyproj.CRS.from_wkt(wkt[:_MAX_WKT])  # PROJ needs seconds for megabytes, and cannot read a part
    except CRSError:
        detail = "The description of the coordinate reference system cannot be read."
        raise InputRefused(Fault("unknown_crs", detail, _HINT)) from None
    return usable_crs(crs)


def usable_crs(crs: pyproj.CRS) -> pyproj.CRS:
    """Return the horizontal part of a CRS.

    Raises:
        InputRefused: unknown_crs if the CRS is neither projected nor geographic, does not lie on the Earth, or cannot
            be transformed.
    """
    if crs.is_compound:
        crs = crs.sub_crs_list[0]
    if not (crs.is_projected or crs.is_geographic):
        detail = f"The coordinate reference system '{crs.name}' is neither projected nor geographic."
        raise InputRefused(Fault("unknown_crs", detail, _HINT))
    ellipsoid = crs.ellipsoid
    if ellipsoid is None or not _EARTH_M[0] <= ellipsoid.semi_major_metre <= _EARTH_M[1]:
        detail = f"The coordinate reference system '{crs.name}' does not lie on the Earth."
        raise InputRefused(Fault("unknown_crs", detail, "Use a coordinate reference system of the Earth."))
    if not _can_be_transformed(crs):
        detail = f"There is no way from the coordinate reference system '{crs.name}' to longitudes and latitudes."
        raise InputRefused(Fault("unknown_crs", detail, _HINT))
    return crs


def _can_be_transformed(crs: pyproj.CRS) -> bool:
    try:
        to_wgs84(crs)
        transformer(crs, _geodetic(crs))
    except ProjError:
        return False
    return all(axis.unit_conversion_factor > 0 for axis in (*crs.axis_info, *_geodetic(crs).axis_info))


def crs_code(crs: pyproj.CRS) -> str | None:
    """Return the code of a CRS, like "EPSG:32648"; None if no authority lists exactly this CRS.

    PROJ would also name the CRS that is most like it, which may lie in another country. A CRS with its own TOWGS84 has
    no code either, because the code does not stand for these numbers.
    """
    authority = crs.to_authority(min_confidence=100)
    return ":".join(authority) if authority else None


def crs_name(crs: pyproj.CRS) -> str:
    """Return the code of a CRS, or its name if it has no code."""
    return crs_code(crs) or crs.name


def degrees_beyond_use(crs: pyproj.CRS, lon: float, lat: float) -> float:
    """Return how far a place lies outside the area of use of a CRS, in degrees; 0 inside, or if the area is unknown."""
    code = crs_code(crs)
    area = pyproj.CRS(code).area_of_use if code else None
    if area is None:
        return 0.0
    width = (area.east - area.west) % 360 or 360
    from_west = (lon - area.west) % 360
    beside = min(max(0.0, from_west - width), 360 - from_west)
    return max(beside, lat - area.north, area.south - lat)


def geod_of(crs: pyproj.CRS) -> pyproj.Geod:
    """Return the geodesics on the ellipsoid of a CRS.

    Raises:
        ValueError: The CRS has no ellipsoid. A CRS from `usable_crs` always has one.
    """
    geod = crs.get_geod()
    if geod is None:
        raise ValueError(f"{crs.name} has no ellipsoid")
    return geod


def transformer(source: pyproj.CRS, target: pyproj.CRS, box: Box | None = None) -> pyproj.Transformer:
    """Return the transformer from x, y of `source` to x, y of `target`; it makes impossible coordinates infinite.

    box: Where the places lie, in degrees of WGS 84. Between two datums, one operation is chosen for the whole box.
    """
    return operation(source, target, box).transformer


def to_wgs84(crs: pyproj.CRS, box: Box | None = None) -> pyproj.Transformer:
    """Return the transformer from x, y of a CRS to longitude, latitude of WGS 84, in degrees.

    box: Where the places lie, as for `transformer`.
    """
    return transformer(crs, WGS84, box)


def lonlat(crs: pyproj.CRS, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return longitude and latitude on the datum of the CRS itself, in degrees, from x, y of the CRS.

    Longitudes count from the prime meridian of the CRS, which need not be Greenwich. Coordinates on the ellipsoid are
    exact, since no datum is changed.
    """
    geodetic = _geodetic(crs)
    degrees = np.degrees(_radians_per_unit(geodetic))
    lon, lat = transformer(crs, geodetic).transform(x, y)
    return np.multiply(lon, degrees), np.multiply(lat, degrees)


@lru_cache(maxsize=256)
def full_turn(crs: pyproj.CRS) -> float | None:
    """Return after which distance in x the same place comes again: 360 degrees, 400 grads, 40,075 km in Web Mercator.

    None if x does not go round the Earth.
    """
    if crs.is_geographic:
        return float(2 * np.pi / _radians_per_unit(crs))
    conversion = _unbound(crs).coordinate_operation
    if conversion is None or conversion.method_name not in _CYLINDRICAL:
        return None
    geodetic = _geodetic(crs)
    degree = np.radians(1) / _radians_per_unit(geodetic)
    (middle, _), there = transformer(crs, geodetic).transform(0.0, 0.0), transformer(geodetic, crs)
    return float(abs(there.transform(middle + degree, 0)[0] - there.transform(middle - degree, 0)[0]) * 180)


def turned(crs: pyproj.CRS, x: np.ndarray, middle: float) -> np.ndarray:
    """Return x of the same places, by whole turns as near to the x `middle` as they can be."""
    turn = full_turn(crs)
    if turn is None:
        return x
    with np.errstate(invalid="ignore"):  # x is infinite where the CRS cannot place a point
        return np.asarray(x + turn * np.round((middle - x) / turn))


def _geodetic(crs: pyproj.CRS) -> pyproj.CRS:
    """Return the CRS of longitudes and latitudes on the datum of a CRS."""
    geodetic = _unbound(crs).geodetic_crs or crs
    return geodetic.source_crs if geodetic.is_derived and geodetic.source_crs else geodetic


def _unbound(crs: pyproj.CRS) -> pyproj.CRS:
    """Return the CRS without its own TOWGS84."""
    return crs.source_crs if crs.is_bound and crs.source_crs else crs


def _radians_per_unit(geodetic: pyproj.CRS) -> float:
    """Return the size of the unit of longitudes and latitudes: they may be in grads."""
    return float(geodetic.axis_info[0].unit_conversion_factor)
