"""Coordinate operations: how places get from one CRS to another, and how exact that is.

PROJ knows several operations between some pairs of datums, each for its own region, and by default chooses one for each
point. A polygon on the border of two regions is torn then. Here one operation is chosen for a whole layer or scene.
"""

import warnings
from dataclasses import dataclass, replace
from functools import lru_cache

import pyproj
from pyproj.transformer import TransformerGroup

Box = tuple[float, float, float, float]
"""West, south, east and north limits in degrees; west is larger than east if the box crosses the date line."""
WGS84 = pyproj.CRS("OGC:CRS84")
_AXES = "axis order change (2D)"  # a step that PROJ names but that changes no place
_NORMALISED = " (with axis order normalized for visualization)"  # how newer versions of PROJ (9.8) name it
_BALLPARK = "Ballpark"  # PROJ's word for two datums that are taken as equal because nothing better is known
# CGCS2000 is a realisation of the ITRS like WGS 84, but PROJ lists no operation between the two
_AS_WGS84 = pyproj.CRS("EPSG:4490")
_AS_WGS84_M = 1.0

pyproj.network.set_network_enabled(active=False)  # type: ignore[attr-defined]  # it is not in pyproj's `__all__`


@dataclass(frozen=True)
class Operation:
    """One way from x, y of a CRS to x, y of another CRS.

    transformer: Applies the operation; it makes impossible coordinates infinite.
    name: Name of the operation in PROJ's database.
    accuracy_m: Largest error to expect, in metres, inside `area`; 0 without a change of datum, None if it is unknown.
    ballpark: Whether two datums are taken as equal because no operation between them is known. The places may then be
        wrong by up to some 100 m.
    area: Where the accuracy holds; None for everywhere.
    better: Name of a more exact operation that needs a grid which is not installed; "" if there is none.
    """

    transformer: pyproj.Transformer
    name: str
    accuracy_m: float | None
    ballpark: bool = False
    area: Box | None = None
    better: str = ""

    def covers(self, box: Box) -> bool:
        """Return whether the whole box lies in `area`."""
        return self.area is None or _shared(self.area, box) >= 0.999 * _shared(box, box)


@lru_cache(maxsize=256)
def operation(source: pyproj.CRS, target: pyproj.CRS, box: Box | None = None) -> Operation:
    """Return the best operation from one CRS to another for all places in a box.

    It is the one whose area of use shares most with the box; of several such operations, the most exact one. If no area
    of use touches the box, it is the operation of the nearest area.

    box: Where the places lie; None for the area of use of both CRSs.
    """
    found, better = _candidates(source, target)
    if not found:  # the CRS is damaged, or every operation needs a grid that is missing
        return Operation(pyproj.Transformer.from_crs(source, target, always_xy=True), "unknown", None, ballpark=True)
    exact = [candidate for candidate in found if not candidate.ballpark] or found
    best = exact[0] if box is None else max(exact, key=lambda candidate: _rank(candidate, box))
    if len(found) > 1:
        chosen = pyproj.Transformer.from_pipeline(best.transformer.definition)
    else:  # made anew, since the transformers of a group must not be shared between threads
        chosen = pyproj.Transformer.from_crs(source, target, always_xy=True)
    best = replace(best, transformer=chosen, better=better)
    if best.ballpark and _both_as_wgs84(source, target):
        return replace(best, name="CGCS2000 is taken as WGS 84", accuracy_m=_AS_WGS84_M, ballpark=False)
    return best


@lru_cache(maxsize=256)
def _candidates(source: pyproj.CRS, target: pyproj.CRS) -> tuple[list[Operation], str]:
    """Return the operations that need no missing grid, best first, and the name of a better one that does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about missing grids, which `better` reports
        try:
            group = TransformerGroup(source, target, always_xy=True)
        except IndexError:  # pyproj does not expect an operation that is impossible for another reason than a grid
            return [], ""
    missing = "" if group.best_available or not group.unavailable_operations else group.unavailable_operations[0].name
    same = source.datum is not None and source.datum == target.datum
    return [_described(transformer, same) for transformer in group.transformers], _plain(missing)


def _described(transformer: pyproj.Transformer, same_datum: bool) -> Operation:
    name, used, accuracy = str(transformer.description), transformer.area_of_use, float(transformer.accuracy)
    area = (used.west, used.south, used.east, used.north) if used else None
    if accuracy < 0 and same_datum:  # PROJ 9.8 does not say that a change of the axes' order is exact
        accuracy = 0.0
    return Operation(transformer, _plain(name), accuracy if accuracy >= 0 else None, _BALLPARK in name, area)


def _plain(name: str) -> str:
    return " + ".join(step for step in name.replace(_NORMALISED, "").split(" + ") if step != _AXES)


def _both_as_wgs84(source: pyproj.CRS, target: pyproj.CRS) -> bool:
    """Return whether one CRS is based on CGCS2000 and the other on WGS 84."""
    bases = [crs.geodetic_crs for crs in (source, target)]
    known = (_AS_WGS84, pyproj.CRS("EPSG:4326"))
    return all(any(base.equals(one, ignore_axis_order=True) for base in bases if base) for one in known)


def _rank(candidate: Operation, box: Box) -> tuple[float, float, float]:
    """Return what is larger for a better operation: the share in the box, the nearness, the exactness."""
    area = candidate.area or (-180.0, -90.0, 180.0, 90.0)
    shared = round(_shared(area, box) / (_shared(box, box) or 1), 3)
    return shared, -_apart(area, box), -(float("inf") if candidate.accuracy_m is None else candidate.accuracy_m)


def _shared(one: Box, other: Box) -> float:
    """Return the area of the intersection of two boxes, in square degrees; a box without area is a little larger."""
    across = sum(max(0.0, gap) for gap in _gaps(one, other))
    up = min(one[3], other[3]) - max(one[1], other[1])
    return across * max(0.0, up + 1e-9)


def _gaps(one: Box, other: Box) -> list[float]:
    """Return how many degrees of longitude two boxes share, for each whole turn; negative if they lie apart."""
    west, east = one[0], one[2] + 360 * (one[0] > one[2])
    left, right = other[0], other[2] + 360 * (other[0] > other[2])
    return [min(east, right + turn) - max(west, left + turn) + 1e-9 for turn in (-360, 0, 360)]


def _apart(one: Box, other: Box) -> float:
    beside = max(0.0, -max(_gaps(one, other)))
    return beside + max(0.0, other[1] - one[3], one[1] - other[3])
