"""What `classes` did with the texts of a layer: which keys match nothing, and which texts only "*" caught."""

from collections.abc import Iterator, Mapping

from ml.contract import UNLABELLED
from ml.faults import Fault, Note
from ml.frozen import Frozen
from ml.labels.attributes import commonest
from ml.labels.classes import ANY, ClassTable

MOST_TEXTS = 20


class OtherText(Frozen):
    """A text of a layer, or a value of a mask, that only the key "*" of `classes` caught.

    count: Number of polygons, or of pixels.
    like: Key of `classes` from which it differs only by case, width or spaces; None if there is none.
    """

    text: str
    count: int
    like: str | None


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
                yield Fault("unmatched_class", detail, hint)

    def notes(self) -> Iterator[Note]:
        """Yield what the owner should look at."""
        if self.blank:
            detail = f"{self.blank} of {sum(self.counts.values())} {self._what} have no text in {self._where}."
            hint = 'They are unlabelled: "*" does not stand for a missing text. The key "" gives them a class.'
            yield Note(code="no_class_text", detail=detail, hint=hint)
        if alike := [item for item in self.other if item.like is not None]:
            listed = ", ".join(f"{item.text[:40]!r} ({item.count}, like {item.like!r})" for item in alike[:5])
            detail = f"`*` gave class {self._classes[ANY]} to texts that are nearly those of `classes`: {listed}."
            hint = "They differ only by case, width or spaces: add them to `classes` if they mean the same."
            yield Note(code="similar_text", detail=detail, hint=hint)
        unused = [key for key in self._named() if key not in self._matched]
        if unused:
            listed = ", ".join(repr(key[:40]) for key in unused[:12])
            detail = f"{self._where[0].upper()}{self._where[1:]} nowhere has the texts {listed} of `classes`."
            yield Note(code="unmatched_text", detail=detail, hint=self._there())

    def _named(self) -> list[str]:
        """Return the keys of `classes` that stand for a class, other than "*"."""
        return [key for key, value in self._classes.items() if key not in (ANY, "") and value != UNLABELLED]

    def _there(self) -> str:
        return f"It has: {commonest(self.counts)}."
