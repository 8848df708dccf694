"""Compares what the GeoTIFF keys of a file say with the CRS that GDAL made of them.

The keys may name a CRS by its code and describe it as well. GDAL takes some of them and passes over others.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyproj
from pyproj._crs import CoordinateOperation, Datum, Ellipsoid, PrimeMeridian
from pyproj.exceptions import CRSError

from ml.faults import Note
from ml.geo.crs import usable_crs
from ml.geo.crs_codes import contradictory, different, greenwich_deg
from ml.scenes.tiff_directories import Directory, directories

_KEYS, _DOUBLES = 34735, 34736  # tags
# keys, with the names of GeoTIFF 1.1
_MODEL_TYPE, _GEODETIC_CRS, _GEODETIC_DATUM, _PRIME_MERIDIAN, _ELLIPSOID = 1024, 2048, 2050, 2051, 2056
_PROJECTED_CRS, _PROJECTION, _PROJ_METHOD = 3072, 3074, 3075
_GEOGRAPHIC = 2  # value of the model type
_USER_DEFINED = 32767
# the parameters of a projection that are named by a key: their codes of EPSG
_PARAMETERS = {
    3078: "8823",
    3079: "8824",
    3080: "8802",
    3081: "8801",
    3082: "8806",
    3083: "8807",
    3092: "8805",
}
_CLOSE = 1e-9  # relative
_SAME_DEG = 1e-6


def check_keys(path: Path, crs: pyproj.CRS) -> tuple[Note, ...]:
    """Compare the GeoTIFF keys of a checked file with its CRS, and return notes.

    crs: Horizontal part of the CRS that GDAL found.

    Raises:
        InputRefused: contradictory_crs if a key says something else than the CRS.
    """
    with path.open("rb") as file:
        keys = geo_keys(next(directories(file, path.stat().st_size)))
    for said in _contradictions(keys, crs):
        raise contradictory(f"in its GeoTIFF keys {said}", f"the coordinate reference system {crs.name!r}")
    return tuple(_unit_notes(keys, crs))


def geo_keys(directory: Directory) -> dict[int, float]:
    """Return the numbers among the GeoTIFF keys of an image, by key."""
    entries = directory.array(_KEYS).astype(int)
    doubles = directory.doubles(_DOUBLES)
    keys = dict[int, float]()
    for key, place, count, value in entries[4 : len(entries) // 4 * 4].reshape(-1, 4).tolist():
        if place == 0:
            keys[key] = value
        elif place == _DOUBLES and count == 1 and value < len(doubles):
            keys[key] = float(doubles[value])
    return keys


def _code(keys: dict[int, float], key: int) -> int | None:
    """Return the code that a key names; None if there is none, or if it stands for a definition in other keys."""
    value = int(keys.get(key, 0))
    return value if 0 < value < _USER_DEFINED else None


def _contradictions(keys: dict[int, float], crs: pyproj.CRS) -> Iterator[str]:
    """Yield in words what the keys say that is not so in the CRS."""
    projected, base = _code(keys, _PROJECTED_CRS), crs.geodetic_crs or crs
    if projected and keys.get(_MODEL_TYPE) == _GEOGRAPHIC:
        yield f"that it is geographic, and the projected EPSG:{projected}"
    with suppress(CRSError):  # codes that PROJ does not know say nothing
        if code := _code(keys, _GEODETIC_CRS):
            listed = usable_crs(pyproj.CRS.from_epsg(code))
            if difference := different(base, listed):
                yield f"EPSG:{code}, which is {listed.name!r}, {difference}"
    yield from _ellipsoids(keys, crs)
    with suppress(CRSError):
        if code := _code(keys, _PRIME_MERIDIAN):
            meridian = PrimeMeridian.from_epsg(code)
            if not np.isclose(greenwich_deg(meridian), greenwich_deg(crs.prime_meridian), rtol=0, atol=_SAME_DEG):
                yield f"the prime meridian EPSG:{code}, which is {meridian.name!r}"
    yield from _parameters(keys, crs)


def _ellipsoids(keys: dict[int, float], crs: pyproj.CRS) -> Iterator[str]:
    own = crs.ellipsoid
    for key in (_GEODETIC_DATUM, _ELLIPSOID):
        with suppress(CRSError):
            code = _code(keys, key)
            if code is None or own is None:
                continue
            listed = Ellipsoid.from_epsg(code) if key == _ELLIPSOID else Datum.from_epsg(code)
            found = listed if isinstance(listed, Ellipsoid) else listed.ellipsoid
            if found and not np.isclose(found.semi_major_metre, own.semi_major_metre, atol=1, rtol=0):
                yield f"EPSG:{code}, which is {listed.name!r}"


def _parameters(keys: dict[int, float], crs: pyproj.CRS) -> Iterator[str]:
    """Yield parameters of the projection that differ: those of the code of a conversion, and those of single keys."""
    conversion = crs.coordinate_operation
    if not crs.is_projected or conversion is None or crs.axis_info[0].unit_conversion_factor != 1:
        return
    said = {number: keys[key] for key, number in _PARAMETERS.items() if key in keys}
    with suppress(CRSError):
        if code := _code(keys, _PROJECTION):
            said |= {each.code: float(each.value) for each in CoordinateOperation.from_epsg(code).params}
    for own in conversion.params:
        value = said.get(own.code, float(own.value))
        if not np.isclose(value, float(own.value), rtol=_CLOSE, atol=_CLOSE):
            yield f"{own.name} {value:.10g} instead of {float(own.value):.10g} {own.unit_name}"


def _unit_notes(keys: dict[int, float], crs: pyproj.CRS) -> Iterator[Note]:
    """Yield other_unit if the keys change the unit of a CRS that has a code, as is done for US feet."""
    code = _code(keys, _PROJECTED_CRS)
    if code is None:
        return
    with suppress(CRSError):
        listed, unit = pyproj.CRS.from_epsg(code).axis_info[0], crs.axis_info[0]
        if not np.isclose(listed.unit_conversion_factor, unit.unit_conversion_factor, rtol=_CLOSE, atol=0):
            detail = f"EPSG:{code} counts in {listed.unit_name}, but the file says that it counts in {unit.unit_name}."
            yield Note(code="other_unit", detail=detail, hint="The coordinates are read as the file says. Check them.")
