"""A layer of polygons, as it stands in a file of any format."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

import pyproj
from shapely.geometry import MultiPolygon, Polygon

from ml.faults import Fault, InputRefused, refuse_any

VectorKind = Literal["geojson", "geopackage", "shapefile"]
Value = str | int | float | bool | None
Item = TypeVar("Item")

MAX_FEATURES = 1_000_000
MAX_FILE_BYTES = 256 << 20
MAX_FAULTS = 20  # of one kind in one file: nobody reads more


@dataclass(frozen=True)
class Feature:
    """geometry: in the layer's CRS, x before y. properties: attributes by name, of simple values."""

    geometry: Polygon | MultiPolygon
    properties: Mapping[str, Value]


@dataclass(frozen=True)
class FeatureLayer:
    """crs: None if the file names none. unplaced: features without any geometry, which are left out."""

    kind: VectorKind
    crs: pyproj.CRS | None
    features: list[Feature]
    unplaced: int = 0


class NoPolygonError(ValueError):
    """A feature that is no polygon, and why."""


def gathered(items: Iterable[Item], read: Callable[[Item], Feature | None]) -> tuple[list[Feature], int]:
    """The features that `read` makes of `items`, and how many it had no place for (None).

    Raises:
        InputRefused: bad_geometry, for the first 20 items where `read` raised `NoPolygonError`; too_many_features.
    """
    features, faults, unplaced = [], list[Fault](), 0
    for number, item in enumerate(items):
        try:
            feature = read(item)
        except NoPolygonError as wrong:
            faults.append(bad_geometry(f"Feature {number + 1}: {wrong}.", f"/features/{number}/geometry"))
            if len(faults) == MAX_FAULTS:
                break
            continue
        if number >= MAX_FEATURES:
            detail = f"The layer has over {MAX_FEATURES:,} features."
            raise InputRefused(Fault("too_many_features", detail, "Send it in parts, one for each region."))
        if feature is None:
            unplaced += 1
        else:
            features.append(feature)
    refuse_any(faults)
    return features, unplaced


def bad_geometry(detail: str, pointer: str = "") -> Fault:
    """The fault of a feature that is no polygon."""
    return Fault("bad_geometry", detail, "Labels are polygons: mend or remove the feature.", pointer)


def simple(value: object) -> Value:
    """An attribute as a simple value; what is not simple has none."""
    return value if isinstance(value, str | int | float | bool) else None
