"""Types of numbers and texts with the bounds that any honest value keeps.

What describes a file may come from a process that the file has taken over, so its form alone says little.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from ml.text import values_in

_GEOMETRIES = ("Polygon", "MultiPolygon")
_MOST_NUMBERS = 10_000  # of an outline

Count = Annotated[int, Field(ge=0, lt=1 << 53)]  # numbers of JSON above are rounded by many readers
ShortText = Annotated[str, Field(max_length=1000)]
LongText = Annotated[str, Field(max_length=1 << 20)]
Rate = Annotated[float, Field(ge=0, le=1)]
Hectares = Annotated[float, Field(ge=-1, le=6e10)]  # the Earth has 5.1e10; a difference of sums may end below 0
LARGEST_M = 1e8
Metres = Annotated[float, Field(gt=0, le=LARGEST_M)]
_Longitude = Annotated[float, Field(ge=-181, le=181)]  # the edge of a scene may be a pixel beyond 180 degrees
_Latitude = Annotated[float, Field(ge=-91, le=91)]
Degrees = tuple[_Longitude, _Latitude, _Longitude, _Latitude]  # west, south, east, north


def _outline(geometry: dict[str, Any]) -> dict[str, Any]:
    """Return a GeoJSON geometry unchanged. Raises ValueError if it is no polygon of finite places on the Earth."""
    places = list(values_in(geometry.get("coordinates", [])))
    if geometry and (geometry.keys() != {"type", "coordinates"} or geometry["type"] not in _GEOMETRIES):
        raise ValueError("this is no polygon")
    if len(places) > _MOST_NUMBERS or isinstance(geometry.get("coordinates"), Mapping):
        raise ValueError("this is no outline of a scene")
    if not all(isinstance(value, float | int) and math.isfinite(value) and abs(value) <= 361 for _, value in places):
        raise ValueError("this is no place on the Earth")
    return geometry


Outline = Annotated[dict[str, Any], AfterValidator(_outline)]
