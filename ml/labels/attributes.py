"""Attributes that the owner of a layer names, and that the layer must have."""

from collections.abc import Iterator, Sequence

from ml.faults import Fault
from ml.labels.features import Feature, listed

_LOOKED_AT = 1000  # features whose attributes a message lists


def absent_attributes(features: Sequence[Feature], class_field: str | None, field_id: str | None) -> Iterator[Fault]:
    """Yield a fault for each of the two attributes that no feature has: missing_class or missing_field_id."""
    for code, option, name in (
        ("missing_class", "class_field", class_field),
        ("missing_field_id", "field_id", field_id),
    ):
        if name is not None and not any(name in feature.properties for feature in features):
            detail = f"The layer has no attribute {name[:80]!r}, which {option} names."
            yield Fault(code, detail, _hint(name, features))


def _hint(name: str, features: Sequence[Feature]) -> str:
    names = dict.fromkeys(each for feature in features[:_LOOKED_AT] for each in feature.properties)
    alike = [each for each in names if each.casefold().strip() == name.casefold().strip()]
    if alike:
        return f"Write it as in the file: {listed(alike)}."
    return f"The layer has the attributes {listed(sorted(names))}." if names else "The layer has no attributes."
