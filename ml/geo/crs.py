"""Coordinate reference systems. As in GIS files, x is always easting or longitude, and y northing or latitude."""

import re
from functools import lru_cache

import pyproj
from pyproj.exceptions import CRSError

from ml.faults import Fault, InputRefused

WGS84 = pyproj.CRS("OGC:CRS84")
_CODE = re.compile(r"(?:urn:ogc:def:crs:)?(EPSG|ESRI|OGC)(?::[\d.]*)?:(CRS84|\d{1,6})", re.IGNORECASE)
_EARTH_M = (6_350_000, 6_400_000)  # range of the semi-major axes of ellipsoids of the Earth, in metres
_HINT = "Declare the CRS by an authority's code, like EPSG:32648, EPSG:4490 (CGCS2000) or OGC:CRS84."


def crs_from_code(text: str) -> pyproj.CRS:
    """Return the CRS with an authority's code, like "EPSG:32648" or "urn:ogc:def:crs:OGC:1.3:CRS84".

    Only codes are accepted, because PROJ would also open paths and URLs.

    Raises:
        InputRefused: bad_crs if the text is not a code, or no CRS has the code; unknown_crs as for `usable_crs`.
    """
    match = _CODE.fullmatch(text.strip())
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
        crs = pyproj.CRS.from_wkt(wkt)
    except CRSError:
        detail = "The description of the coordinate reference system cannot be read."
        raise InputRefused(Fault("unknown_crs", detail, _HINT)) from None
    return usable_crs(crs)


def usable_crs(crs: pyproj.CRS) -> pyproj.CRS:
    """Return the horizontal part of a CRS.

    Raises:
        InputRefused: unknown_crs if the CRS is neither projected nor geographic, or does not lie on the Earth.
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
    return crs


def crs_code(crs: pyproj.CRS) -> str | None:
    """Return the code of a CRS, like "EPSG:32648"; None if no authority lists the CRS."""
    authority = crs.to_authority()
    return ":".join(authority) if authority else None


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


@lru_cache(maxsize=256)
def transformer(source: pyproj.CRS, target: pyproj.CRS) -> pyproj.Transformer:
    """Return the transformer from x, y of `source` to x, y of `target`; it makes impossible coordinates infinite."""
    return pyproj.Transformer.from_crs(source, target, always_xy=True)


def to_wgs84(crs: pyproj.CRS) -> pyproj.Transformer:
    """Return the transformer from x, y of a CRS to longitude, latitude of WGS 84, in degrees."""
    return transformer(crs, WGS84)
