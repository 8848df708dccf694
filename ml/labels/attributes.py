"""Attributes that the owner of a layer names, and that the layer must have."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ml.faults import Fault
from ml.labels.features import Feature, listed
from ml.labels.texts import plain, similar, text_of

_LOOKED_AT = 1000  # features whose attributes a message lists
_MOST_NAMES = 12


def attribute(features: Sequence[Feature], wanted: str) -> str | None:
    """Return the name of an attribute as the layer spells it; None if the layer has no such attribute.

    Names are compared like texts: a byte-order mark before the first one, for instance, does not matter.
    """
    if any(wanted in feature.properties for feature in features):
        return wanted
    names = {name for feature in features for name in feature.properties if plain(name) == plain(wanted)}
    return names.pop() if len(names) == 1 else None


def absent_attributes(features: Sequence[Feature], named: Iterable[tuple[str, str, str | None]]) -> Iterator[Fault]:
    """Yield a fault for each named attribute that no feature has.

    named: The code of the fault, the option that names the attribute, and the name; None if none is named.
    """
    for code, option, name in named:
        if name is not None and attribute(features, name) is None:
            detail = f"The layer has no attribute {name[:80]!r}, which {option} names."
            yield Fault(code, detail, _hint(name, features), f"/{option}")


def _hint(name: str, features: Sequence[Feature]) -> str:
    names = dict.fromkeys(each for feature in features[:_LOOKED_AT] for each in feature.properties)
    alike = [each for each in names if similar(each) == similar(name)]
    return f"Write it as in the file: {listed(alike)}." if alike else attributes_there(features)


def attributes_there(features: Sequence[Feature]) -> str:
    """Return a sentence with the attributes of a layer and the commonest texts of each."""
    some = features[:_LOOKED_AT]
    names = sorted({name for feature in some for name in feature.properties})
    if not names:
        return "The layer has no attributes."
    texts = {name: Counter(text_of(each.properties.get(name)) for each in some) for name in names[:_MOST_NAMES]}
    each = "; ".join(f"{name[:40]} ({commonest(counts, 5)})" for name, counts in texts.items())
    return f"The layer has the attributes {each}{'; ...' if len(names) > _MOST_NAMES else ''}."


def commonest(counts: Mapping[str, int], most: int = 12) -> str:
    """Return the commonest texts with their counts, like "rice 12, maize 3, ...".

    counts: How often each text is there. most: How many of them are listed.
    """
    first = Counter(counts).most_common(most)
    texts = ", ".join(f"{text[:40] or 'none'} {count}" for text, count in first)
    return texts + (", ..." if len(counts) > most else "")
