"""Which texts may enter documents: JSON, tables, XML, terminals and databases."""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

# control characters, lone surrogates, and the two noncharacters that XML forbids
_CONTROLS = "\x00-\x08\x0b-\x1f\x7f-\x9f"
_NEVER = "\ud800-\udfff\ufffe\uffff"
_UNSTORABLE = re.compile(f"[{_CONTROLS}{_NEVER}]")
_FEW = 12
_TURNS = "\u202a-\u202e\u2066-\u2069"  # turn the direction of what follows, also of the text after a name
_NOT_IN_A_NAME = re.compile(f"[\t\n\u2028\u2029{_TURNS}{_CONTROLS}{_NEVER}]")


def is_storable(text: str) -> bool:
    """Whether databases, XML and terminals can hold `text`. A newline and a tab are allowed."""
    return not _UNSTORABLE.search(text)


def is_one_line(text: str) -> bool:
    """Whether `text` can be a name in every kind of document.

    It is storable, has no tab and no line end, and does not turn the direction of writing.
    """
    return not _NOT_IN_A_NAME.search(text)


def is_visible_name(text: str) -> bool:
    """Whether `text` can be a name that people read: it is on one line and has a visible character."""
    return bool(alike(text)) and is_one_line(text)


def alike(name: str) -> str:
    """The text by which names are compared: names that look alike to a reader, or differ only in case, have one text.

    It has no invisible character, no space around it, and composed letters (NFC).
    """
    visible = "".join(char for char in name if unicodedata.category(char) != "Cf")
    return unicodedata.normalize("NFC", " ".join(visible.casefold().split()))


def first_few(names: Sequence[str]) -> str:
    """The first twelve names as a text, and how many more there are."""
    more = len(names) - _FEW
    return ", ".join(names[:_FEW]) + (f" and {more} more" if more > 0 else "")


def values_in(value: object, pointer: str = "") -> Iterator[tuple[str, object]]:
    """Every value inside a value of JSON, the keys of objects included, each with its JSON pointer."""
    waiting = [(pointer, value)]
    while waiting:
        at, found = waiting.pop()
        if isinstance(found, Mapping):
            for key, inner in found.items():
                yield at, key
                waiting.append((f"{at}/{key}", inner))
        elif isinstance(found, Sequence) and not isinstance(found, str):
            waiting.extend((f"{at}/{index}", inner) for index, inner in enumerate(found))
        else:
            yield at, found
