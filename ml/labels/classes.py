"""From attributes of polygons and values of masks to class values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from ml.contract import UNLABELLED
from ml.faults import Fault, InputRefused, refuse_any
from ml.frozen import Frozen
from ml.labels.features import MAX_FAULTS, Feature, Value

ANY = "*"
MAX_MASK_VALUES = 1000
ClassValue = Annotated[int, Field(ge=0, le=UNLABELLED)]


class LabelOptions(Frozen):
    """How a layer of labels is to be read.

    class_field: attribute that names the class of a polygon; by default the only one that holds keys of `classes`,
    and without `classes` every polygon is class 1.
    classes: text of the attribute, or of a mask's value, -> class value; "*" for every other text; 255 is unlabelled.
    Without it the text itself is the class value.
    crs: of the coordinates of polygons, where the file does not say it or is wrong, like "EPSG:32648".
    background: class of what no polygon of the layer covers in a scene that it touches: 0, or 255 for unlabelled.
    field_id: attribute that polygons of one and the same field share, where a field is cut into several; by default
    one named field_id, plot_id or parcel_id, and without such each polygon is a field.
    """

    class_field: str | None = None
    classes: dict[str, ClassValue] | None = None
    crs: str | None = None
    background: Literal[0, 255] = 0  # a Literal takes no name: 255 is UNLABELLED
    field_id: str | None = None


@dataclass(frozen=True)
class FeatureClasses:
    """What the features of a layer mean.

    values: class of each, uint8 (features,). names: what the layer itself calls each ("cassava"), "" if nothing.
    """

    values: np.ndarray
    names: tuple[str, ...]


def classes_of(features: Sequence[Feature], options: LabelOptions) -> FeatureClasses:
    """The class of each polygon, and the text that stands for it.

    Raises:
        InputRefused: missing_class, a polygon has no class or the attribute cannot be guessed; unknown_class.
    """
    field = options.class_field or _guessed_field(features, options.classes)
    if field is None:
        return FeatureClasses(np.ones(len(features), dtype=np.uint8), ("",) * len(features))
    texts = [text_of(feature.properties.get(field)) for feature in features]
    values = {text: _class_value(text, options.classes) for text in set(texts)}
    faults = []
    if values.get("", 0) is None:
        faults.append(_missing(field, texts, features))
    unknown = sorted(text for text, value in values.items() if text and value is None)
    refuse_any(faults + [_unknown(text, options.classes) for text in unknown[:MAX_FAULTS]])
    return FeatureClasses(np.array([values[text] for text in texts], dtype=np.uint8), tuple(texts))


def mask_classes(raw: np.ndarray, valid: np.ndarray, options: LabelOptions) -> np.ndarray:
    """The class values of a window of a mask, uint8 of the shape of `raw`; 255 where it is not valid.

    Raises:
        InputRefused: what `mask_table` raises.
    """
    values, classes = mask_table(raw, valid, options)
    return np.where(valid, classes[np.searchsorted(values, raw)], UNLABELLED)


def mask_table(raw: np.ndarray, valid: np.ndarray, options: LabelOptions) -> tuple[np.ndarray, np.ndarray]:
    """The different values in a window of a mask, sorted, and the class of each, uint8.

    Raises:
        InputRefused: unknown_class; not_a_mask, over 1000 different values.
    """
    values = np.unique(raw)
    if len(values) > MAX_MASK_VALUES:
        detail = f"The raster has over {MAX_MASK_VALUES} different values."
        hint = "Send a mask whose pixels are class values: is this an image?"
        raise InputRefused(Fault("not_a_mask", detail, hint))
    used = set(np.unique(raw[valid]).tolist())
    table = {value: _class_value(str(value), options.classes) for value in values.tolist()}
    table |= {UNLABELLED: UNLABELLED} if options.classes is None else {}
    unknown = [value for value in sorted(used) if table[value] is None]
    refuse_any(_unknown(str(value), options.classes) for value in unknown[:MAX_FAULTS])
    return values, np.array([UNLABELLED if table[v] is None else table[v] for v in values.tolist()], dtype=np.uint8)


def class_names(classes: Mapping[str, int] | None) -> dict[int, str]:
    """The texts that mean each class value: {1: "sugarcane, cane"}."""
    names: dict[int, str] = {}
    for text, value in (classes or {}).items():
        names[value] = f"{names[value]}, {text}" if value in names else text
    return names


def text_of(value: Value) -> str:
    """What stands in an attribute, as one reads it: 6 for 6.0; "" for nothing."""
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
    """The one attribute that holds a key of `classes`; None without `classes`."""
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
    found = f"Several attributes hold such values: {_listed(names)}." if names else "No attribute holds any of them."
    detail = f"`classes` names {_listed(set(classes))}, but not the attribute. {found}"
    raise InputRefused(Fault("missing_class", detail, f"Name it with class_field: {_fields(features)}."))


def _missing(field: str, texts: Sequence[str], features: Sequence[Feature]) -> Fault:
    detail = f"{texts.count('')} of {len(texts)} polygons have no {field[:80]!r}."
    return Fault(
        "missing_class", detail, f"Fill it in, or name another attribute with class_field: {_fields(features)}."
    )


def _unknown(text: str, classes: Mapping[str, int] | None) -> Fault:
    detail = f"{text[:80]!r} is no class."
    if classes is None:
        return Fault("unknown_class", detail, 'Say what it means: classes={"text": value}, values 0 to 254.')
    return Fault("unknown_class", detail, f"Add it to classes, or catch it with '*'. Known: {_listed(set(classes))}.")


def _fields(features: Sequence[Feature]) -> str:
    return _listed({name for feature in features[:1000] for name in feature.properties}) or "there is none"


def _listed(names: set[str]) -> str:
    listed = ", ".join(name[:40] for name in sorted(names)[:12])
    return listed + (", ..." if len(names) > 12 else "")
