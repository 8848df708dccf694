"""Coordinate reference systems: x is always easting or longitude, y northing or latitude, as in every GIS file."""

import re
from functools import lru_cache

import pyproj
from pyproj.exceptions import CRSError

from ml.faults import Fault, InputRefused

WGS84 = pyproj.CRS("OGC:CRS84")
_CODE = re.compile(r"(?:urn:ogc:def:crs:)?(EPSG|ESRI|OGC)(?::[\d.]*)?:(CRS84|\d{1,6})", re.IGNORECASE)
_EARTH_M = (6_350_000, 6_400_000)  # semi-major axes of all ellipsoids of the Earth
_HINT = "Give it as an authority's code, like EPSG:32648, EPSG:4490 (CGCS2000) or OGC:CRS84."


def crs_from_code(text: str) -> pyproj.CRS:
    """The CRS that an authority's code names: "EPSG:32648", "urn:ogc:def:crs:OGC:1.3:CRS84".

    Nothing else is understood: PROJ takes paths and URLs, too.

    Raises:
        InputRefused: bad_crs.
    """
    match = _CODE.fullmatch(text.strip())
    if match is None:
        raise InputRefused(Fault("bad_crs", "The coordinate reference system is not a known code.", _HINT))
    try:
        crs = pyproj.CRS.from_authority(match[1].upper(), match[2].upper())
    except CRSError:
        raise InputRefused(Fault("bad_crs", f"No authority knows {match[1]}:{match[2]}.", _HINT)) from None
    return usable_crs(crs)


def crs_from_wkt(wkt: str) -> pyproj.CRS:
    """The CRS that a WKT describes (of a scene, a .prj file, a GeoPackage), horizontal part only.

    Raises:
        InputRefused: unknown_crs.
    """
    try:
        crs = pyproj.CRS.from_wkt(wkt)
    except CRSError:
        detail = "The description of the coordinate reference system cannot be read."
        raise InputRefused(Fault("unknown_crs", detail, _HINT)) from None
    return usable_crs(crs)


def usable_crs(crs: pyproj.CRS) -> pyproj.CRS:
    """The horizontal part of `crs`, if it places things on the Earth.

    Raises:
        InputRefused: unknown_crs.
    """
    if crs.is_compound:
        crs = crs.sub_crs_list[0]
    if not (crs.is_projected or crs.is_geographic):
        detail = f"The coordinate reference system '{crs.name}' is neither projected nor geographic."
        raise InputRefused(Fault("unknown_crs", detail, _HINT))
    ellipsoid = crs.ellipsoid
    if ellipsoid is None or not _EARTH_M[0] <= ellipsoid.semi_major_metre <= _EARTH_M[1]:
        detail = f"The coordinate reference system '{crs.name}' does not lie on the Earth."
        raise InputRefused(Fault("unknown_crs", detail, "canemap maps the Earth only."))
    return crs


def crs_code(crs: pyproj.CRS) -> str | None:
    """Like "EPSG:32648"; None where no authority has it."""
    authority = crs.to_authority()
    return ":".join(authority) if authority else None


def degrees_beyond_use(crs: pyproj.CRS, lon: float, lat: float) -> float:
    """How far a place lies outside the area that the CRS was made for; 0 inside, or where no authority says."""
    code = crs_code(crs)
    area = pyproj.CRS(code).area_of_use if code else None
    if area is None:
        return 0.0
    width = (area.east - area.west) % 360 or 360
    from_west = (lon - area.west) % 360
    beside = min(max(0.0, from_west - width), 360 - from_west)
    return max(beside, lat - area.north, area.south - lat)


def geod_of(crs: pyproj.CRS) -> pyproj.Geod:
    """Geodesics on the ellipsoid of a CRS that `usable_crs` has passed: others may have none, and raise ValueError."""
    geod = crs.get_geod()
    if geod is None:
        raise ValueError(f"{crs.name} has no ellipsoid")
    return geod


@lru_cache(maxsize=256)
def transformer(source: pyproj.CRS, target: pyproj.CRS) -> pyproj.Transformer:
    """From x, y of `source` to x, y of `target`; what cannot be placed becomes infinite."""
    return pyproj.Transformer.from_crs(source, target, always_xy=True)


def to_wgs84(crs: pyproj.CRS) -> pyproj.Transformer:
    """From x, y to longitude, latitude of WGS 84, in degrees."""
    return transformer(crs, WGS84)
