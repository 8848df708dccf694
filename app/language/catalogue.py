"""What the service says to people, in Chinese.

Every text is made in English, wherever its cause is found: in `ml`, which knows no service, in a child process, in a
job of last month whose problem lies in the database. So a text is translated where it leaves the service, and
`zh.json` has a translation for each sentence of the source code. A sentence is written there as a format string, like
"The scene {} has {} bands.", and its translation says by {0} and {1} where the values stand, if their order changes.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib.resources import files
from string import Formatter
from typing import Any

LONGEST_TEXT = 20_000  # characters; nothing that the service says is longer
SENTENCES_AT_ONCE = 4  # that one entry of the catalogue may have
MOST_TRIES = 600  # of all entries on a part of one text; the rest stays English, as it is made to take long
TRANSLATED_KEYS = {"detail", "hint", "message", "why"}
_ENGLISH = re.compile(r"\b[a-z]{2,} [a-z]{2,}\b")  # a piece of a sentence, and no name
_COMMA = ", "  # between the items of a list
_BOUNDARY = re.compile(r"((?<=[.!?:])\s+|;\s+)")


@dataclass(frozen=True)
class Sentence:
    """One entry of the catalogue. pieces: what stands before, between and after its values. chinese: a format."""

    pieces: tuple[str, ...]
    chinese: str

    def values(self, text: str) -> list[str] | None:
        """The values with which this sentence says `text`, or None if it says something else."""
        first, *between, last = self.pieces
        end = len(text) - len(last)
        if not text.startswith(first) or not text.endswith(last) or end < len(first):
            return None
        values, at = [], len(first)
        for piece in between:
            found = text.find(piece, at, end)
            if found < 0:
                return None
            values.append(text[at:found])
            at = found + len(piece)
        return [*values, text[at:end]]


@cache
def entries() -> dict[str, str]:
    """The Chinese format string by the English one."""
    return _read("zh.json")


@cache
def headings() -> dict[str, str]:
    """The Chinese headings of tables. They are apart, since a name in a sentence may be the same as a heading."""
    return _read("headings.json")


def heading(name: str) -> str:
    """The Chinese heading for the column `name`, also if something in brackets follows: due (UTC)."""
    name, space, rest = (name, "", "") if name in headings() else name.partition(" ")
    return f"{headings().get(name, name)}{space}{rest}"


def _read(name: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(files("app.language").joinpath(name).read_text(encoding="utf-8"))
    return found


@dataclass
class _Work:
    """What was found for parts of one text, and how often all entries may still be tried."""

    left: int = MOST_TRIES
    known: dict[str, str] = field(default_factory=dict)


@lru_cache(maxsize=4096)
def chinese(text: str) -> str:
    """Return `text` in Chinese. What has no translation stays as it is."""
    return text if len(text) > LONGEST_TEXT else _told(text, _Work())


def _told(text: str, work: _Work) -> str:
    if text not in work.known:
        parts = _parts(text, work)
        whole = _translated(text, work, across=True) if any(told is None for _, told in parts) else None
        work.known[text] = whole or "".join(part if told is None else told for part, told in parts)
    return work.known[text]


def _listed(text: str, work: _Work) -> str | None:
    """A list like "2 px in val (s1), 3 px in test (s1)"; None if it is no list, or an item has no translation."""
    items, told = text.split(_COMMA), []
    if len(items) == 1:
        return None
    for item in items:
        if (part := _translated(item, work)) is None:
            return None
        told.append(part)
    return "，".join(told)


def translated(document: Any) -> Any:
    """A document of JSON with its texts for people in Chinese; names and codes stay."""
    if isinstance(document, list):
        return [translated(item) for item in document]
    if not isinstance(document, Mapping):
        return document
    # a title is a text of the service in a problem document, and a name that a person gave elsewhere
    keys = TRANSLATED_KEYS | {"title"} if {"type", "detail"} <= document.keys() else TRANSLATED_KEYS
    return {
        key: chinese(value) if key in keys and isinstance(value, str) else translated(value)
        for key, value in document.items()
    }


def _parts(text: str, work: _Work) -> list[tuple[str, str | None]]:
    """The sentences of `text` and what separates them, each with its translation if it has one.

    One entry of the catalogue may have several sentences: as many as possible are taken at once.
    """
    pieces, parts, start = _BOUNDARY.split(text), [], 0  # sentences and what separates them, by turns
    while start < len(pieces):
        ends = range(min(len(pieces), start + 2 * SENTENCES_AT_ONCE - 1), start, -2)
        runs = ((end, _translated("".join(pieces[start:end]), work)) for end in ends)
        end, told = next(((end, told) for end, told in runs if told is not None), (start + 1, None))
        parts.append(("".join(pieces[start:end]), told))
        if end < len(pieces):
            parts.append((pieces[end], pieces[end] if told is None else _stop(told, pieces[end])))
        start = end + 1
    return parts


def _stop(told: str, separator: str) -> str:
    """What separates a Chinese sentence from the next one: nothing after a full stop."""
    return "；" if ";" in separator and not told.endswith("。") else ""


def _translated(text: str, work: _Work, *, across: bool = False) -> str | None:
    """`text` as one entry of the catalogue says it, or None if there is no such entry.

    Of several entries it is the one that says most itself among those whose values are told too.
    across: Whether a value may have several sentences. Otherwise an entry that ends with a value would take all text.
    """
    fixed, formats = _catalogue()
    if text in fixed:
        return fixed[text]
    work.left -= 1
    if work.left < 0:
        return None
    fallback = None
    for sentence in formats:
        values = sentence.values(text)
        if values is None or (not across and any(map(_BOUNDARY.search, values))):
            continue
        told = [_listed(value, work) or _told(value, work) for value in values]
        if not any(map(_ENGLISH.search, told)):
            return sentence.chinese.format(*told)
        fallback = fallback or sentence.chinese.format(*told)
    if fallback is None and text.endswith(".") and (part := _translated(text[:-1], work)) is not None:
        return f"{part}。"  # a part of other sentences that stands alone
    return fallback


@cache
def _catalogue() -> tuple[dict[str, str], tuple[Sentence, ...]]:
    """The sentences without values, and those with values: first those that say most themselves."""
    fixed, formats = {}, []
    for english, told in entries().items():
        pieces = pieces_of(english)
        if len(pieces) == 1:
            fixed[pieces[0]] = told.format()
        else:
            formats.append(Sentence(pieces, told))
    formats.sort(key=lambda sentence: -sum(map(len, sentence.pieces)))
    return fixed, tuple(formats)


def pieces_of(format_string: str) -> tuple[str, ...]:
    """What stands before, between and after the values of a format string."""
    pieces = [""]
    for literal, name, *_ in Formatter().parse(format_string):
        pieces[-1] += literal
        if name is not None:
            pieces.append("")
    return tuple(pieces)
