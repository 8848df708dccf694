"""Grouping of polygons into fields: a field that is drawn as several polygons is still one field."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ml.faults import Fault, InputRefused
from ml.labels.attributes import attribute as spelled
from ml.labels.features import Feature
from ml.labels.texts import text_of

_USUAL = ("fieldid", "plotid", "parcelid")  # attribute names, in lower case and without _ and -


@dataclass(frozen=True)
class Fields:
    """Fields of a label layer.

    numbers: Number of the field of each feature, from 0, shape (features,), int64.
    names: Name of each field, by its number, as used in messages ("plot_id 7" or "polygon 3").
    """

    numbers: np.ndarray
    names: tuple[str, ...]


def fields_of(features: Sequence[Feature], attribute: str | None = None) -> Fields:
    """Group polygons with the same text in `attribute` into one field; a polygon without a text is a field by itself.

    attribute: Name of the attribute. By default, it is one called field_id, plot_id or parcel_id, in upper or lower
        case, with or without _ and -; without such an attribute, each polygon is a field.

    Raises:
        InputRefused: missing_field_id if no polygon has a value in `attribute`.
    """
    name = spelled(features, attribute) if attribute else _guessed(features)
    ids = [text_of(feature.properties.get(name)) if name else "" for feature in features]
    if attribute and not any(ids):
        detail = f"No polygon has a value in the attribute {attribute[:80]!r}, which should identify its field."
        raise InputRefused(Fault("missing_field_id", detail, "Correct field_id, or omit it.", "/field_id"))
    called = [f"{name} {text[:80]}" if text else f"polygon {i + 1}" for i, text in enumerate(ids)]
    numbers = dict[str, int]()
    each = [numbers.setdefault(text, len(numbers)) for text in called]
    return Fields(np.array(each, dtype=np.int64), tuple(numbers))


def _guessed(features: Sequence[Feature]) -> str | None:
    names = {name for feature in features for name in feature.properties}
    usual = sorted(name for name in names if name.lower().replace("_", "").replace("-", "") in _USUAL)
    return usual[0] if usual else None
