"""Polygons and their attributes, as read from a file of any format."""

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
MAX_FAULTS = 20  # faults of one kind that are reported for one file, because longer lists are not read


@dataclass(frozen=True)
class Feature:
    """One polygon of a layer, with its attributes.

    geometry: Polygon in the CRS of the layer, with x before y.
    properties: Simple values of the attributes, by name.
    """

    geometry: Polygon | MultiPolygon
    properties: Mapping[str, Value]


@dataclass(frozen=True)
class FeatureLayer:
    """Polygons of one file.

    crs: CRS of the coordinates; None if the file names none.
    features: Features in the order of the file, without those that have no geometry.
    without_geometry: Number of features that were left out because they have no geometry.
    """

    kind: VectorKind
    crs: pyproj.CRS | None
    features: list[Feature]
    without_geometry: int = 0


class NoPolygonError(ValueError):
    """A feature is not a polygon. The message says why, without a full stop."""


def read_features(items: Iterable[Item], read: Callable[[Item], Feature | None]) -> tuple[list[Feature], int]:
    """Read features from `items`; return them and the number of items that have no geometry.

    read: Turns an item into a feature, or returns None if the item has no geometry.

    Raises:
        InputRefused: bad_geometry for the first 20 items for which `read` raises `NoPolygonError`; too_many_features
            if there are over a million items.
    """
    features, faults, without_geometry = [], list[Fault](), 0
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
            raise InputRefused(Fault("too_many_features", detail, "Send several layers, one for each region."))
        if feature is None:
            without_geometry += 1
        else:
            features.append(feature)
    refuse_any(faults)
    return features, without_geometry


def bad_geometry(detail: str, pointer: str = "") -> Fault:
    """Return the fault for a feature that is not a valid polygon.

    pointer: JSON pointer to the feature, like "/features/3".
    """
    return Fault("bad_geometry", detail, "Labels must be polygons. Correct or remove the feature.", pointer)


def simple_value(value: object) -> Value:
    """Return the value of an attribute if it is text, a number or a boolean; otherwise None."""
    return value if isinstance(value, str | int | float | bool) else None
