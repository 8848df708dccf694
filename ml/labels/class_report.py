"""What `classes` did with the texts of a layer: which keys match nothing, and which texts only "*" caught."""

from collections.abc import Iterator, Mapping

from ml.bounded import Count, LongText
from ml.contract import UNLABELLED
from ml.faults import Fault, Note
from ml.frozen import Frozen
from ml.labels.attributes import commonest
from ml.labels.classes import ANY, ClassTable
from ml.labels.texts import holds, sounds_missing

MOST_TEXTS = 20
_LOOKED_AT = 1000  # texts that notes are about, from the commonest
_SUSPECT = (
    (
        "similar_text",
        "are nearly those of `classes`",
        "They differ only by case, width, spaces or the form of a number: add them to `classes` if they mean the same.",
    ),
    (
        "longer_text",
        "hold those of other classes",
        "Add them to `classes` if they belong to these classes, or as 255 if they are mixed.",
    ),
    (
        "missing_text",
        "often stand for a missing value",
        "Map them to 255 in `classes` if nothing is known there.",
    ),
)


class OtherText(Frozen):
    """A text of a layer, or a value of a mask, that only the key "*" of `classes` caught.

    count: Number of polygons, or of pixels.
    like: Key of `classes` from which it differs only by case, width, spaces or the form of a number; None if there is
        none.
    """

    text: LongText
    count: Count
    like: LongText | None


class TextReport:
    """The texts of a layer, compared with `classes`.

    counts: How often each text is there; "" stands for features without a text.
    what: What is counted, in messages: "polygons" or "pixels".
    where: What holds the texts, in messages: "the attribute 'crop'" or "the mask".
    """

    def __init__(self, counts: Mapping[str, int], table: ClassTable, what: str, where: str) -> None:
        self.counts, self._table, self._what, self._where = dict(counts), table, what, where
        self._classes = dict(table.classes or {})
        self._matched = {table.key(text) for text in self.counts}
        other = [text for text in self.counts if text and ANY in self._classes and table.key(text) is None]
        each = (OtherText(text=text, count=self.counts[text], like=table.like(text)) for text in other)
        self.other = tuple(sorted(each, key=lambda item: (item.like is None, -item.count, item.text)))

    @property
    def blank(self) -> int:
        """Number of polygons without a text, which are unlabelled unless `classes` has the key ""."""
        return self.counts.get("", 0) if self._table.key("") is None else 0

    def faults(self) -> Iterator[Fault]:
        """Yield unmatched_class for each class of which no text is there.

        Class 0 may have none, since it stands for all that is not mapped: a table of classes is often used for many
        layers, and some of them hold nothing but the crop.
        """
        for value in sorted(set(self._classes.values()) - {0, UNLABELLED}):
            keys = [key for key in self._named() if self._classes[key] == value]
            caught = self._classes.get(ANY) == value and self.other
            if keys and not caught and not self._matched.intersection(keys):
                listed = " or ".join(repr(key[:80]) for key in keys[:5])
                detail = f"No {self._what} of class {value}: {self._where} nowhere has {listed}."
                hint = f"Correct `classes`. {self._there()}"
                yield Fault("unmatched_class", detail, hint, "/classes")

    def notes(self) -> Iterator[Note]:
        """Yield what the owner should look at."""
        if self.blank:
            detail = f"{self.blank} of {sum(self.counts.values())} {self._what} have no text in {self._where}."
            hint = 'They are unlabelled: "*" does not stand for a missing text. The key "" gives them a class.'
            yield Note(code="no_class_text", detail=detail, hint=hint)
        yield from self._caught()
        unused = [key for key in self._named() if key not in self._matched]
        if unused:
            listed = ", ".join(repr(key[:40]) for key in unused[:12])
            detail = f"{self._where[0].upper()}{self._where[1:]} nowhere has the texts {listed} of `classes`."
            yield Note(code="unmatched_text", detail=detail, hint=self._there())

    def _named(self) -> list[str]:
        """Return the keys of `classes` that stand for a class, other than "*"."""
        return [key for key, value in self._classes.items() if key not in (ANY, "") and value != UNLABELLED]

    def _caught(self) -> Iterator[Note]:
        """Yield a note for each reason why texts that "*" caught may belong to another class, or to none."""
        looked_at = self.other[:_LOOKED_AT]
        alike = [(item, f", like {item.like!r}") for item in looked_at if item.like is not None]
        longer = [(item, f", holds {key!r}") for item in looked_at if not item.like and (key := self._held(item.text))]
        missing = [(item, "") for item in looked_at if sounds_missing(item.text)]
        for found, (code, what, hint) in zip((alike, longer, missing), _SUSPECT, strict=True):
            if found:
                listed = ", ".join(f"{item.text[:40]!r} ({item.count}{why})" for item, why in found[:5])
                detail = f"`*` gave class {self._classes[ANY]} to texts that {what}: {listed}."
                yield Note(code=code, detail=detail, hint=hint)

    def _held(self, text: str) -> str | None:
        """Return a key of another class than that of "*" that is part of a text; None if there is none."""
        others = (key for key in self._named() if self._classes[key] != self._classes[ANY])
        return next((key for key in others if holds(text, key)), None)

    def _there(self) -> str:
        return f"It has: {commonest(self.counts)}."
