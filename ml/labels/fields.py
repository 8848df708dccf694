"""Which polygons are parts of one and the same field: a field that is cut in two is still one field."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ml.faults import Fault, InputRefused
from ml.labels.classes import text_of
from ml.labels.features import Feature

_USUAL = ("fieldid", "plotid", "parcelid")


@dataclass(frozen=True)
class Fields:
    """numbers: the field of each feature, int64 (features,), from 0. names: what each field is called in a sentence."""

    numbers: np.ndarray
    names: tuple[str, ...]


def fields_of(features: Sequence[Feature], attribute: str | None = None) -> Fields:
    """Polygons with the same text in `attribute` are one field; those without a text are one each.

    attribute: by default one that is called field_id, plot_id or parcel_id, in any spelling; without such each polygon
    is a field.

    Raises:
        InputRefused: missing_field_id, no polygon has the attribute.
    """
    name = attribute or _guessed(features)
    ids = [text_of(feature.properties.get(name)) if name else "" for feature in features]
    if attribute and not any(ids):
        detail = f"No polygon has the attribute {attribute[:80]!r} that says which field it is of."
        raise InputRefused(Fault("missing_field_id", detail, "Correct field_id, or leave it out."))
    called = [f"{name} {text[:80]}" if text else f"polygon {i + 1}" for i, text in enumerate(ids)]
    numbers = dict[str, int]()
    each = [numbers.setdefault(text, len(numbers)) for text in called]
    return Fields(np.array(each, dtype=np.int64), tuple(numbers))


def _guessed(features: Sequence[Feature]) -> str | None:
    names = {name for feature in features for name in feature.properties}
    usual = sorted(name for name in names if name.lower().replace("_", "").replace("-", "") in _USUAL)
    return usual[0] if usual else None
