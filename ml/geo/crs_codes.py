"""Whether a CRS is the one whose code stands beside its definition.

Programs differ in which of the two they believe. So where they lead to different places, nobody knows what was meant.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
import pyproj
from pyproj._crs import PrimeMeridian
from pyproj.exceptions import CRSError, ProjError

from ml.faults import Fault, InputRefused, Note
from ml.geo.crs import WGS84, crs_from_wkt, geod_of, lonlat, to_wgs84, transformer, usable_crs

_SAME_M = 0.01  # places that differ by less differ by rounding only
_SAME_AXIS_M, _SAME_FLATTENING = 1.0, 0.01  # how far ellipsoids may differ, by their 1/f, that count as one
_NOTED_M = 2.0  # less is the uncertainty of the best changes of datum
_SIDES = (0.2, 0.5, 0.8)  # where places are compared, as shares of the sides of the area of use
_HINT = (
    "Set the right one in the file: gdal_edit.py -a_srs EPSG:... in.tif for a raster. Polygons may be sent with crs=, "
    "like crs=EPSG:32648."
)
_Degrees = Callable[[pyproj.CRS, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def crs_of_file(wkt: str) -> pyproj.CRS:
    """Return the horizontal part of the CRS that a file describes by WKT.

    Raises:
        InputRefused: As `crs_from_wkt` does; contradictory_crs if a code in the WKT stands for another CRS.
    """
    found = crs_from_wkt(wkt)
    check_codes(pyproj.CRS.from_wkt(wkt))
    return found


def check_codes(crs: pyproj.CRS) -> None:
    """Raise contradictory_crs if a code in the definition of a CRS stands for another projection or ellipsoid."""
    for part, listed in _coded_parts(crs):
        if difference := different(part, listed):
            raise contradictory(f"{_code(part)}, which is {listed.name!r}", f"its own definition, {difference}")


def contradictory(one: str, other: str) -> InputRefused:
    """Return the exception for a file that says two things of its CRS, with both of them in words."""
    detail = f"The file contradicts itself about its coordinate reference system: it says {one}, and {other}."
    return InputRefused(Fault("contradictory_crs", detail, _HINT))


def code_notes(crs: pyproj.CRS) -> tuple[Note, ...]:
    """Return a note if the code of a CRS stands for another datum than its definition has."""
    for part, listed in _coded_parts(crs):
        if part.equals(listed, ignore_axis_order=True):
            continue
        if (apart := _farthest_m(part, listed, _on_wgs84)) > _NOTED_M:
            detail = (
                f"The code {_code(part)} stands for {listed.name!r}, but the definition beside it has another datum: "
                f"places differ by up to {apart:.0f} m. The definition is used."
            )
            return (Note(code="other_datum", detail=detail, hint="Check which of the two is right."),)
    return ()


def different(one: pyproj.CRS, other: pyproj.CRS) -> str:
    """Return in words how two CRSs differ in their projection or ellipsoid; "" if they do not, or in datum only."""
    if one.equals(other, ignore_axis_order=True):
        return ""
    (a, flattening), (b, other_flattening) = _ellipsoid(one), _ellipsoid(other)
    if abs(a - b) > _SAME_AXIS_M or abs(flattening - other_flattening) > _SAME_FLATTENING:
        return f"with an ellipsoid of {a:.9g} m, 1/f {flattening:.6g}, instead of {b:.9g} m, 1/f {other_flattening:.6g}"
    apart = _farthest_m(one, other, _on_own_datum)
    if not np.isfinite(apart):
        return "by which coordinates lead nowhere"
    return "" if apart <= _SAME_M else f"by which places differ by up to {apart:,.2f} m"


def greenwich_deg(meridian: PrimeMeridian | None) -> float:
    """Return how far east of Greenwich a prime meridian lies, in degrees."""
    return float(np.degrees(meridian.longitude * float(meridian.unit_conversion_factor))) if meridian else 0.0


def _coded_parts(crs: pyproj.CRS) -> Iterator[tuple[pyproj.CRS, pyproj.CRS]]:
    """Yield each part of a CRS that names the code of a usable CRS, and that CRS."""
    for part in _parts(crs):
        if (listed := _listed(part)) is not None:
            yield usable_crs(part), listed


def _parts(crs: pyproj.CRS) -> Iterator[pyproj.CRS]:
    """Yield a CRS, its horizontal part, the same without its own TOWGS84, and the geographic CRS below a projection."""
    yield crs
    if crs.is_compound:
        yield from _parts(crs.sub_crs_list[0])
    elif crs.is_bound and crs.source_crs is not None:
        yield from _parts(crs.source_crs)
    elif crs.is_projected and crs.geodetic_crs is not None:
        yield crs.geodetic_crs


def _code(crs: pyproj.CRS) -> str:
    return "{authority}:{code}".format(**crs.to_json_dict()["id"])


@lru_cache(maxsize=256)
def _listed(crs: pyproj.CRS) -> pyproj.CRS | None:
    """Return the horizontal CRS whose code the definition of a CRS names; None if no usable CRS has it."""
    if "id" not in crs.to_json_dict():
        return None
    try:
        return usable_crs(pyproj.CRS.from_user_input(_code(crs)))
    except (CRSError, InputRefused):
        return None


def _ellipsoid(crs: pyproj.CRS) -> tuple[float, float]:
    """Return the semi-major axis in metres, and 1/f, of a usable CRS."""
    ellipsoid = crs.ellipsoid
    return (ellipsoid.semi_major_metre, ellipsoid.inverse_flattening) if ellipsoid else (0.0, 0.0)


def _farthest_m(one: pyproj.CRS, other: pyproj.CRS, degrees: _Degrees) -> float:
    """Return how far places of the same x, y lie apart in two CRSs, in metres; infinite if one cannot place them.

    It is 0 if PROJ finds no way to the place of a given longitude and latitude, so that nothing can be compared.

    degrees: Gives longitudes and latitudes, from Greenwich, of x, y in a CRS.
    """
    area = other.area_of_use
    west, south, east, north = (area.west, area.south, area.east, area.north) if area else (-180.0, -80.0, 180.0, 80.0)
    width = (east - west) % 360 or 360
    lon, lat = np.meshgrid(
        [west + width * side for side in _SIDES], [south + (north - south) * side for side in _SIDES]
    )
    try:
        x, y = transformer(WGS84, other).transform(lon.ravel(), lat.ravel())
        places = np.array([*degrees(one, x, y), *degrees(other, x, y)])
    except ProjError:
        return 0.0
    if not np.isfinite(places).all():
        return float("inf")
    _, _, apart = geod_of(WGS84).inv(*places)
    return float(np.max(apart))


def _on_own_datum(crs: pyproj.CRS, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    lon, lat = lonlat(crs, x, y)
    return lon + greenwich_deg(crs.prime_meridian), lat


def _on_wgs84(crs: pyproj.CRS, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    lon, lat = to_wgs84(crs).transform(x, y)
    return np.asarray(lon), np.asarray(lat)
