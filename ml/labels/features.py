"""Polygons and their attributes, as read from a file of any format."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import pyproj
from shapely.geometry import MultiPolygon, Polygon

from ml.faults import Fault, InputRefused, Note, refuse_any
from ml.frozen import Frozen

VectorKind = Literal["geojson", "geopackage", "shapefile"]
Value = str | int | float | bool | None
Item = TypeVar("Item")

NO_FEATURE = -1  # in place of the number of a feature: none covers the pixel
MAX_FEATURES = 1_000_000
MAX_VALUES = 10_000_000  # attributes x features of one layer
MAX_FILE_BYTES = 256 << 20
MAX_FAULTS = 20  # faults of one kind that are reported for one file, because longer lists are not read


class TextEncoding(Frozen):
    """Encoding of the text of a layer's attributes.

    name: Name of the encoding, as Python spells it ("gb18030").
    found_by: What told the encoding: the .cpg file, the language id of the .dbf file, or the bytes of the text itself.
    """

    name: str
    found_by: Literal["cpg", "language_id", "text"]


class Row(Mapping[str, Value]):
    """Attributes of one feature of a table. The names are shared by all rows, so that a wide table needs little memory.

    positions: Position of each attribute in `values`, by name.
    values: Values of the attributes.
    """

    __slots__ = ("_positions", "_values")

    def __init__(self, positions: Mapping[str, int], values: Sequence[Value]) -> None:
        self._positions, self._values = positions, values

    def __getitem__(self, name: str) -> Value:
        return self._values[self._positions[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._positions)

    def __len__(self) -> int:
        return len(self._positions)


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

    crs: CRS of the coordinates; None if the file names none, or one that cannot be used.
    features: Features in the order of the file, without those that have no geometry.
    without_geometry: Number of features that were left out because they have no geometry, or an empty one.
    name: Name of the layer in its file; None if it has none.
    encoding: Encoding of the attributes' text, where the format lets the writer choose it.
    notes: What is remarkable about the file, and how it was read because of that.
    crs_refused: Why the CRS that the file names cannot be used.
    """

    kind: VectorKind
    crs: pyproj.CRS | None
    features: list[Feature]
    without_geometry: int = 0
    name: str | None = None
    encoding: TextEncoding | None = None
    notes: tuple[Note, ...] = ()
    crs_refused: InputRefused | None = None


class NoPolygonError(ValueError):
    """A feature is not a polygon. The message says why, without a full stop.

    hint: How to mend the feature, as a sentence.
    """

    def __init__(self, message: str, hint: str = "Only polygons can be read. Correct or remove the feature.") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass
class Unread:
    """Attributes with values that are no text, number, boolean or date, and so were not read."""

    names: dict[str, None] = field(default_factory=dict)  # in the order of the file

    def simple(self, name: str, value: object) -> Value:
        """Return the value of an attribute; None, and remember the name, if it is of another type."""
        if value is None or isinstance(value, str | int | float | bool):
            return value
        self.names.setdefault(name)
        return None

    def notes(self) -> tuple[Note, ...]:
        """Return a note that names the attributes, if there are any."""
        if not self.names:
            return ()
        detail = f"Values of these attributes are no text, numbers, booleans or dates: {listed(self.names)}."
        return (Note(code="unread_attributes", detail=detail, hint="They count as missing."),)


def usable_crs_of(read: Callable[[], pyproj.CRS | None]) -> tuple[pyproj.CRS | None, InputRefused | None]:
    """Return the CRS that `read` returns, or None and why `read` refused it: the owner may declare another one."""
    try:
        return read(), None
    except InputRefused as refused:
        return None, refused


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
            pointer = f"/features/{number}/geometry"
            faults.append(Fault("bad_geometry", f"Feature {number + 1}: {wrong}.", wrong.hint, pointer))
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
    return Fault("bad_geometry", detail, "Only polygons can be read. Correct or remove the feature.", pointer)


def refuse_many_values(rows: int, names: Sequence[str]) -> None:
    """Raise too_many_features if a table of `rows` rows and the attributes `names` is too large to be held."""
    if rows * len(names) > MAX_VALUES:
        detail = f"The layer has {rows:,} features with {len(names)} attributes, over {MAX_VALUES:,} values."
        raise InputRefused(Fault("too_many_features", detail, "Leave out attributes that are not needed."))


def listed(names: Iterable[str]) -> str:
    """Return at most 12 names as a text, each cut to 40 characters."""
    every = list(names)
    return ", ".join(repr(name[:40]) for name in every[:12]) + (", ..." if len(every) > 12 else "")
