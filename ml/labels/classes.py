"""Class values, found from the attributes of polygons and from the values of masks."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from ml.contract import UNLABELLED
from ml.faults import Fault, InputRefused, refuse_any
from ml.frozen import Frozen
from ml.labels.attributes import attribute, attributes_there
from ml.labels.features import MAX_FAULTS, Feature
from ml.labels.texts import number, plain, similar, text_of
from ml.text import is_storable

ANY = "*"
MAX_MASK_VALUES = 1000
ClassValue = Annotated[int, Field(ge=0, le=UNLABELLED)]


class LabelOptions(Frozen):
    """Options for reading a label layer.

    class_field: Attribute that holds the class of each polygon. By default, it is the only attribute that holds keys
        of `classes`; without `classes`, every polygon has class 1.
    classes: Maps each text of the attribute, or each value of a mask, to a class value from 0 to 254, or to 255 for
        unlabelled. The key "*" stands for every other text, but not for a missing one, and in a mask not for 255,
        negative values and the largest value of 16 or 32 bits: these are unlabelled. Without `classes`, the text itself
        is the class value.
    crs: CRS of the polygons' coordinates as an authority's code, like "EPSG:32648". It is used instead of the CRS
        in the file, which may be missing or wrong.
    background: Class of the pixels that no polygon covers, in a scene that the layer touches: 255 for unlabelled, or
        0 if somebody has looked everywhere and all of them are of class 0. A mask has no background.
    layer: Name of the layer to read in a file that holds several: a table of a GeoPackage, or a Shapefile in a zip.
    field_id: Attribute that is equal for all polygons of one field. By default, it is an attribute called field_id,
        plot_id or parcel_id; without such an attribute, each polygon is a field.
    """

    class_field: str | None = None
    classes: dict[str, ClassValue] | None = None
    crs: str | None = None
    background: Literal[0, 255] = 255  # UNLABELLED; a Literal cannot contain a name
    field_id: str | None = None
    layer: str | None = None


@dataclass(frozen=True)
class FeatureClasses:
    """Classes of the features of a label layer.

    values: Class value of each feature, shape (features,), uint8.
    names: Text that stands for the class in the layer ("cassava"), one per feature; "" if there is no text.
    attribute: Attribute that holds the texts; None for a mask, or if every polygon has class 1.
    """

    values: np.ndarray
    names: tuple[str, ...]
    attribute: str | None = None


class ClassTable:
    """Finds the class value of a text.

    A text matches a key of `classes` if both are `plain` the same, or else if both are the same number.

    Raises:
        InputRefused: ambiguous_class if two keys of `classes` are the same text but different classes.
    """

    def __init__(self, classes: Mapping[str, int] | None) -> None:
        self.classes = classes
        self._keys = dict[str, str]()
        for key, value in (classes or {}).items():
            same = self._keys.setdefault(plain(key), key)
            if classes and classes[same] != value:
                detail = f"`classes` maps {plain(key)[:80]!r} to the classes {classes[same]} and {value}."
                raise InputRefused(Fault("ambiguous_class", detail, "Map each text once."))
        numbers = [(number(text), key) for text, key in self._keys.items()]
        times = Counter(each for each, _ in numbers)
        self._numbers: dict[str | None, str] = {each: key for each, key in numbers if each and times[each] == 1}

    def key(self, text: str) -> str | None:
        """Return the key of `classes` that a text matches, other than "*"; None if it matches none."""
        found = self._keys.get(text, self._numbers.get(number(text)))
        return found if found != ANY else None

    def value(self, text: str) -> int | None:
        """Return the class value of a text; None if the text is not a known class."""
        if self.classes is None:
            known = number(text)
            return int(known) if known and known.isdecimal() and len(known) <= 3 and int(known) <= UNLABELLED else None
        key = self.key(text)
        if key is not None:
            return self.classes[key]
        return UNLABELLED if text == "" and ANY in self.classes else self.classes.get(ANY)

    def like(self, text: str) -> str | None:
        """Return the key of `classes` that differs from a text only by case, width, spaces or the form of a number."""
        keys = (key for key in self.classes or () if key != ANY and similar(plain(key)) == similar(text))
        return next(keys, None)


def classes_of(features: Sequence[Feature], options: LabelOptions) -> FeatureClasses:
    """Return the class value of each polygon, and the text from which it was found.

    options: Its class_field is an attribute of the layer, or None.

    Raises:
        InputRefused: missing_class if a polygon has no class or the attribute cannot be guessed; unknown_class if a
            text is not in `classes`; ambiguous_class; invalid_text if a text has control characters.
    """
    table = ClassTable(options.classes)
    field = attribute(features, options.class_field) if options.class_field else _guessed_field(features, table)
    if field is None:
        return FeatureClasses(np.ones(len(features), dtype=np.uint8), ("",) * len(features))
    texts = [text_of(feature.properties.get(field)) for feature in features]
    values = {text: table.value(text) for text in set(texts)}
    faults = [_unstorable(text) for text in sorted(values) if not is_storable(text)][:MAX_FAULTS]
    if values.get("", 0) is None:
        faults.append(_missing(field, texts, features))
    unknown = sorted(text for text, value in values.items() if text and value is None)
    refuse_any(faults + [_unknown(text, table) for text in unknown[:MAX_FAULTS]])
    return FeatureClasses(np.array([values[text] for text in texts], dtype=np.uint8), tuple(texts), field)


def mask_classes(raw: np.ndarray, valid: np.ndarray, options: LabelOptions) -> np.ndarray:
    """Return the class values in a window of a mask, uint8, in the shape of `raw`; 255 where `valid` is False.

    raw: Pixels of the mask as they are in the file, shape (rows, cols).
    valid: True where the mask has a value, shape (rows, cols), bool.

    Raises:
        InputRefused: The faults that `mask_table` raises.
    """
    values, classes = mask_table(raw, valid, options)
    return np.where(valid, classes[np.searchsorted(values, raw)], UNLABELLED)


def mask_table(raw: np.ndarray, valid: np.ndarray, options: LabelOptions) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct values in a window of a mask, sorted, and the class value of each, uint8, both (values,).

    The value 255 is unlabelled unless `classes` has it as a key, and "*" never catches a value that `marks_no_data`.

    raw, valid: Pixels of the mask and their validity, as for `mask_classes`.

    Raises:
        InputRefused: unknown_class if a valid pixel has a value that is not in `classes`; not_a_mask if the window
            has over 1000 distinct values; ambiguous_class.
    """
    values = np.unique(raw)
    if len(values) > MAX_MASK_VALUES:
        detail = f"The raster has over {MAX_MASK_VALUES} distinct values."
        hint = "Send a mask whose pixels are class values. This file may be an image."
        raise InputRefused(Fault("not_a_mask", detail, hint))
    used = set(np.unique(raw[valid]).tolist())
    known = ClassTable(options.classes)
    table = {value: known.value(str(value)) for value in values.tolist()}
    unlabelled = [value for value in table if marks_no_data(value, raw.dtype, known)]
    table |= dict.fromkeys(unlabelled, UNLABELLED)
    unknown = [value for value in sorted(used) if table[value] is None]
    refuse_any(_unknown(str(value), known) for value in unknown[:MAX_FAULTS])
    return values, np.array([UNLABELLED if table[v] is None else table[v] for v in values.tolist()], dtype=np.uint8)


def marks_no_data(value: int, dtype: np.dtype, table: ClassTable) -> bool:
    """Whether a value of a mask is unlabelled because programs write it for no data, and no key names it.

    It is 255 or, where "*" would give it a class, a negative value or the largest one of 16 or 32 bits.

    dtype: Type of the mask's pixels.
    """
    if table.key(str(value)) is not None:
        return False
    beyond = value < 0 or (dtype.itemsize > 1 and value == np.iinfo(dtype).max)
    return value == UNLABELLED or (beyond and ANY in (table.classes or {}))


def class_names(classes: Mapping[str, int] | None) -> dict[int, str]:
    """Return the texts of `classes` for each class value, like {1: "sugarcane, cane"}."""
    names: dict[int, str] = {}
    for text, value in (classes or {}).items():
        names[value] = f"{names[value]}, {text}" if value in names else text
    return names


def _guessed_field(features: Sequence[Feature], table: ClassTable) -> str | None:
    """Return the only attribute that holds a key of `classes`; None without `classes`.

    Raises:
        InputRefused: missing_class if no attribute, or more than one, holds such a key.
    """
    if table.classes is None:
        return None
    names = {
        name
        for feature in features
        for name, value in feature.properties.items()
        if (text := text_of(value)) and table.key(text) is not None
    }
    if len(names) == 1:
        return names.pop()
    found = f"Several attributes hold such texts: {_listed(names)}." if names else "No attribute holds any of them."
    keys = _listed(set(table.classes))
    detail = f"`classes` lists {keys}, but class_field does not name the attribute. {found}"
    hint = f"Name the attribute in class_field. {attributes_there(features)}"
    raise InputRefused(Fault("missing_class", detail, hint, "/class_field"))


def _missing(field: str, texts: Sequence[str], features: Sequence[Feature]) -> Fault:
    detail = f"{texts.count('')} of {len(texts)} polygons have no value in the attribute {field[:80]!r}."
    hint = (
        "Fill in the values, name another attribute in class_field, or map the missing ones: "
        f'classes={{"": 255}} leaves them unlabelled. {attributes_there(features)}'
    )
    return Fault("missing_class", detail, hint, "/classes")


def _unstorable(text: str) -> Fault:
    detail = f"The class {text[:80]!r} holds control characters."
    return Fault("invalid_text", detail, "Remove them from the attribute, and export the layer again.")


def _unknown(text: str, table: ClassTable) -> Fault:
    like = table.like(text)
    alike = (
        f" It differs from {like[:80]!r} only by case, width, spaces or the form of a number."
        if like is not None
        else ""
    )
    detail = f"{text[:80]!r} is not a known class.{alike}"
    if table.classes is None:
        hint = 'Map it to a class: classes={"text": value}, with values from 0 to 254, or 255 for unlabelled.'
        return Fault("unknown_class", detail, hint, "/classes")
    hint = f"Add it to classes, or map all other texts with '*'. Known texts: {_listed(set(table.classes))}."
    return Fault("unknown_class", detail, hint, "/classes")


def _listed(names: Iterable[str]) -> str:
    ordered = sorted(names)
    listed = ", ".join(name[:40] for name in ordered[:12])
    return listed + (", ..." if len(ordered) > 12 else "")
