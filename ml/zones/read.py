"""Reads zones: the polygons of a layer, each with a code, and maybe a name and the code of its parent."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from ml.faults import Fault, InputRefused, refuse_any
from ml.frozen import Frozen
from ml.labels.attributes import absent_attributes, attribute, attributes_there
from ml.labels.features import Feature
from ml.labels.polygons import Polygons
from ml.labels.read import kind_of
from ml.labels.texts import text_of
from ml.text import first_few, is_visible_name

MOST_ZONES = 10_000
CODE_LENGTH, NAME_LENGTH = 80, 200


class ZoneOptions(Frozen):
    """How a layer of zones is read.

    code_field: Attribute that holds the code of a zone.
    name_field, parent_field: Attributes that hold its name, and the code of the zone that it is a part of.
    crs: CRS that the owner declared; None if the file's counts.
    layer: Layer to read, of a file that holds several.
    """

    code_field: str | None = None
    name_field: str | None = None
    parent_field: str | None = None
    crs: str | None = None
    layer: str | None = None


@dataclass(frozen=True)
class ZoneTexts:
    """What the attributes of a zone say. name, parent: None if nothing is said."""

    code: str
    name: str | None
    parent: str | None


class Zones(Polygons):
    """The zones of a layer, in the order of the file; a code that several features have is one zone.

    texts: Codes, names and parents, in the order of `geometries`.
    joined: How many features each zone was made of, by its code, where it is more than one.
    """

    def __init__(self, path: Path, options: ZoneOptions) -> None:
        """Read the zones of a file.

        Raises:
            InputRefused: The faults of `Polygons`, and no_polygons, no_code_field, missing_code_field,
                missing_name_field, missing_parent_field, missing_code, bad_zone_text, duplicate_code, too_many_zones,
                parent_cycle.
        """
        if kind_of(path) == "raster":
            hint = "Send polygons: GeoJSON, a GeoPackage or a zipped Shapefile. gdal_polygonize makes them of a raster."
            raise InputRefused(Fault("no_polygons", "The file is a raster, and zones are polygons.", hint))
        super().__init__(path, crs=options.crs, layer=options.layer)
        texts = _texts(self.features, options)
        groups: dict[str, list[int]] = {}
        for number, each in enumerate(texts):
            groups.setdefault(each.code, []).append(number)
        refuse_any(_contradictions(texts, groups))
        if len(groups) > MOST_ZONES:
            detail = f"The layer has {len(groups):,} zones, over {MOST_ZONES:,}."
            raise InputRefused(Fault("too_many_zones", detail, "Send several layers, one for each region."))
        self.texts = tuple(texts[numbers[0]] for numbers in groups.values())
        self.joined = {code: len(numbers) for code, numbers in groups.items() if len(numbers) > 1}
        self.geometries = np.array([_joined(self.geometries[numbers]) for numbers in groups.values()], dtype=object)
        refuse_any(self._cycles())

    @cached_property
    def number_of(self) -> dict[str, int]:
        """Number of each zone, by its code."""
        return {each.code: number for number, each in enumerate(self.texts)}

    def ancestors(self, number: int) -> Iterator[int]:
        """Yield the numbers of the zones that a zone is a part of, the nearest first."""
        seen = {number}
        while (parent := self.number_of.get(self.texts[number].parent or "")) is not None and parent not in seen:
            yield (number := parent)
            seen.add(number)

    def _cycles(self) -> Iterator[Fault]:
        """Yield parent_cycle for each zone that would be a part of itself."""
        for number, each in enumerate(self.texts):
            above = [number, *self.ancestors(number)]
            if self.texts[above[-1]].parent == each.code:
                path = " in ".join(self.texts[one].code for one in above)
                detail = f"Zone {each.code!r} would be a part of itself: {path} in {each.code}."
                yield Fault("parent_cycle", detail, "Correct the codes of the parents.", "/parent_field")


def _texts(features: Sequence[Feature], options: ZoneOptions) -> list[ZoneTexts]:
    """The texts of each feature. Raises `InputRefused`."""
    if options.code_field is None:
        hint = f"{attributes_there(features)} Name the one with the codes: code_field=..."
        detail = "No attribute was named for the codes of zones."
        raise InputRefused(Fault("no_code_field", detail, hint, "/code_field"))
    fields = ("code_field", "name_field", "parent_field")
    named = [getattr(options, field) for field in fields]
    each = [(f"missing_{field}", field, name) for field, name in zip(fields, named, strict=True)]
    refuse_any(absent_attributes(features, each))
    spelled = [name and attribute(features, name) for name in named]
    rows = [[text_of(each.properties.get(name)) if name else "" for name in spelled] for each in features]
    refuse_any(_bad_texts(rows))
    return [ZoneTexts(code, name or None, parent or None) for code, name, parent in rows]


def _bad_texts(rows: Sequence[Sequence[str]]) -> Iterator[Fault]:
    """Yield a fault for each feature without a code, or with a text that cannot be a name in a table."""
    for number, texts in enumerate(rows):
        pointer = f"/features/{number}"
        if not texts[0]:
            hint = "Give each zone a code, or remove the feature. A layer of joined tables may lack some."
            yield Fault("missing_code", f"Feature {number + 1} has no code.", hint, pointer)
        lengths = (CODE_LENGTH, NAME_LENGTH, CODE_LENGTH)
        for what, text, most in zip(("code", "name", "parent"), texts, lengths, strict=True):
            if text and (len(text) > most or not is_visible_name(text)):
                detail = (
                    f"The {what} of feature {number + 1} is longer than {most} characters, or no visible line of text."
                )
                yield Fault("bad_zone_text", detail, "Correct it, or name another attribute.", pointer)


def _contradictions(texts: Sequence[ZoneTexts], groups: dict[str, list[int]]) -> Iterator[Fault]:
    """Yield duplicate_code for each code of features that differ in their name or in their parent."""
    for code, numbers in groups.items():
        different = dict.fromkeys(texts[number] for number in numbers)
        if len(different) > 1:
            said = first_few([f"{each.name or 'no name'} in {each.parent or 'nothing'}" for each in different])
            listed = first_few([str(number + 1) for number in numbers])
            detail = f"Features {listed} have the code {code!r}, but are different zones: {said}."
            hint = "Correct the codes. Features of one zone, such as islands, have the same code, name and parent."
            yield Fault("duplicate_code", detail, hint, "/code_field")


def _joined(geometries: NDArray[np.object_]) -> object:
    return geometries[0] if len(geometries) == 1 else shapely.union_all(geometries)
