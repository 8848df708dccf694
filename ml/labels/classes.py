"""Class values, found from the attributes of polygons and from the values of masks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from ml.contract import UNLABELLED
from ml.faults import Fault, InputRefused, refuse_any
from ml.frozen import Frozen
from ml.labels.features import MAX_FAULTS, Feature, Value
from ml.text import is_storable

ANY = "*"
MAX_MASK_VALUES = 1000
ClassValue = Annotated[int, Field(ge=0, le=UNLABELLED)]


class LabelOptions(Frozen):
    """Options for reading a label layer.

    class_field: Attribute that holds the class of each polygon. By default, it is the only attribute that holds keys
        of `classes`; without `classes`, every polygon has class 1.
    classes: Maps each text of the attribute, or each value of a mask, to a class value from 0 to 254, or to 255 for
        unlabelled. The key "*" stands for every other text. Without `classes`, the text itself is the class value.
    crs: CRS of the polygons' coordinates as an authority's code, like "EPSG:32648". It is used instead of the CRS
        in the file, which may be missing or wrong.
    background: Class of the pixels that no polygon covers, in a scene that the layer touches: 0, or 255 for
        unlabelled.
    layer: Name of the layer to read in a file that holds several: a table of a GeoPackage, or a Shapefile in a zip.
    field_id: Attribute that is equal for all polygons of one field. By default, it is an attribute called field_id,
        plot_id or parcel_id; without such an attribute, each polygon is a field.
    """

    class_field: str | None = None
    classes: dict[str, ClassValue] | None = None
    crs: str | None = None
    background: Literal[0, 255] = 0  # 255 is UNLABELLED; a Literal cannot contain a name
    field_id: str | None = None
    layer: str | None = None


@dataclass(frozen=True)
class FeatureClasses:
    """Classes of the features of a label layer.

    values: Class value of each feature, shape (features,), uint8.
    names: Text that stands for the class in the layer ("cassava"), one per feature; "" if there is no text.
    """

    values: np.ndarray
    names: tuple[str, ...]


def classes_of(features: Sequence[Feature], options: LabelOptions) -> FeatureClasses:
    """Return the class value of each polygon, and the text from which it was found.

    Raises:
        InputRefused: missing_class if a polygon has no class or the attribute cannot be guessed; unknown_class if a
            text is not in `classes`; invalid_text if a text has control characters.
    """
    field = options.class_field or _guessed_field(features, options.classes)
    if field is None:
        return FeatureClasses(np.ones(len(features), dtype=np.uint8), ("",) * len(features))
    texts = [text_of(feature.properties.get(field)) for feature in features]
    values = {text: _class_value(text, options.classes) for text in set(texts)}
    faults = [_unstorable(text) for text in sorted(values) if not is_storable(text)][:MAX_FAULTS]
    if values.get("", 0) is None:
        faults.append(_missing(field, texts, features))
    unknown = sorted(text for text, value in values.items() if text and value is None)
    refuse_any(faults + [_unknown(text, options.classes) for text in unknown[:MAX_FAULTS]])
    return FeatureClasses(np.array([values[text] for text in texts], dtype=np.uint8), tuple(texts))


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

    raw, valid: Pixels of the mask and their validity, as for `mask_classes`.

    Raises:
        InputRefused: unknown_class if a valid pixel has a value that is not in `classes`; not_a_mask if the window
            has over 1000 distinct values.
    """
    values = np.unique(raw)
    if len(values) > MAX_MASK_VALUES:
        detail = f"The raster has over {MAX_MASK_VALUES} distinct values."
        hint = "Send a mask whose pixels are class values. This file may be an image."
        raise InputRefused(Fault("not_a_mask", detail, hint))
    used = set(np.unique(raw[valid]).tolist())
    table = {value: _class_value(str(value), options.classes) for value in values.tolist()}
    table |= {UNLABELLED: UNLABELLED} if options.classes is None else {}
    unknown = [value for value in sorted(used) if table[value] is None]
    refuse_any(_unknown(str(value), options.classes) for value in unknown[:MAX_FAULTS])
    return values, np.array([UNLABELLED if table[v] is None else table[v] for v in values.tolist()], dtype=np.uint8)


def class_names(classes: Mapping[str, int] | None) -> dict[int, str]:
    """Return the texts of `classes` for each class value, like {1: "sugarcane, cane"}."""
    names: dict[int, str] = {}
    for text, value in (classes or {}).items():
        names[value] = f"{names[value]}, {text}" if value in names else text
    return names


def text_of(value: Value) -> str:
    """Return the value of an attribute as text, stripped: "6" for 6.0, and "" for None."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _class_value(text: str, classes: Mapping[str, int] | None) -> int | None:
    if classes is not None:
        return classes.get(text, classes.get(ANY))
    return int(text) if text.isdecimal() and len(text) <= 3 and int(text) <= UNLABELLED else None


def _guessed_field(features: Sequence[Feature], classes: Mapping[str, int] | None) -> str | None:
    """Return the only attribute that holds a key of `classes`; None without `classes`.

    Raises:
        InputRefused: missing_class if no attribute, or more than one, holds such a key.
    """
    if classes is None:
        return None
    names = {
        name
        for feature in features
        for name, value in feature.properties.items()
        if text_of(value) in classes.keys() - {""}
    }
    if len(names) == 1:
        return names.pop()
    found = f"Several attributes hold such texts: {_listed(names)}." if names else "No attribute holds any of them."
    detail = f"`classes` lists {_listed(set(classes))}, but class_field does not name the attribute. {found}"
    raise InputRefused(Fault("missing_class", detail, f"Name the attribute in class_field. {_attributes(features)}"))


def _missing(field: str, texts: Sequence[str], features: Sequence[Feature]) -> Fault:
    detail = f"{texts.count('')} of {len(texts)} polygons have no value in the attribute {field[:80]!r}."
    hint = f"Fill in the values, or name another attribute in class_field. {_attributes(features)}"
    return Fault("missing_class", detail, hint)


def _unstorable(text: str) -> Fault:
    detail = f"The class {text[:80]!r} holds control characters."
    return Fault("invalid_text", detail, "Remove them from the attribute, and export the layer again.")


def _unknown(text: str, classes: Mapping[str, int] | None) -> Fault:
    detail = f"{text[:80]!r} is not a known class."
    if classes is None:
        hint = 'Map it to a class: classes={"text": value}, with values from 0 to 254, or 255 for unlabelled.'
        return Fault("unknown_class", detail, hint)
    hint = f"Add it to classes, or map all other texts with '*'. Known texts: {_listed(set(classes))}."
    return Fault("unknown_class", detail, hint)


def _attributes(features: Sequence[Feature]) -> str:
    names = _listed({name for feature in features[:1000] for name in feature.properties})
    return f"The layer has the attributes {names}." if names else "The layer has no attributes."


def _listed(names: set[str]) -> str:
    listed = ", ".join(name[:40] for name in sorted(names)[:12])
    return listed + (", ..." if len(names) > 12 else "")
