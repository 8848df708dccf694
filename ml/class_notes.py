"""Notes on the amounts of each class in labels: classes that are absent, or of which there is hardly anything."""

from collections.abc import Iterator, Mapping

from ml.faults import Note
from ml.text import first_few

RARE = 0.001  # smaller shares of the labels are mostly land that nobody has looked at, taken for the other class
FEW_PX = 1000  # labelled pixels of a split; fewer are less than one field at a metre, and a metric is mostly chance
SPLIT_NAMES = {"train": "training", "val": "validation", "test": "test"}
SECOND_CLASS = (
    "Draw fields of other classes too, or upload the labels with background=0 if everything outside the polygons is of "
    "class 0."
)
_ABSENT_HINTS = {
    "train": f"A net cannot learn a class without examples. {SECOND_CLASS}",
    "val": "Its IoU is undefined there, or 0 if any pixel is mapped as it, so the epoch is chosen without it: "
    "add labels of it, or divide the scenes otherwise.",
    "test": "How well it is found is not measured: add labels of it, or divide the scenes otherwise.",
}
_FEW_HINTS = {
    "train": "A net learns little from them: draw more fields.",
    "val": "The choice of the epoch is mostly chance: draw more fields there.",
    "test": "The metrics are mostly chance: draw more fields there.",
}
BySplit = Mapping[str, Mapping[str, int]]


def split_notes(pixels: BySplit) -> Iterator[Note]:
    """Every note of this module that applies to the splits of a dataset.

    pixels: By split, then by class name, the number of labelled valid pixels.
    """
    yield from absence_notes(pixels)
    for split, of_class in pixels.items():
        yield from rarity_notes(of_class, f"labelled {SPLIT_NAMES[split]} pixels")
    yield from few_notes(pixels)


def absence_notes(pixels: BySplit) -> Iterator[Note]:
    """A note for each split that has labels, but not of every class.

    single_class: The training split has one class only. absent_class: The training split lacks a class, or another
    split lacks a class that the training split has. pixels: As for `split_notes`.
    """
    learnt = [name for name, count in pixels["train"].items() if count]
    for split, of_class in pixels.items():
        expected = of_class if split == "train" else learnt
        absent = [name for name in expected if not of_class[name]]
        if absent and any(of_class.values()):
            code = "single_class" if split == "train" and len(learnt) == 1 else "absent_class"
            detail = f"The {SPLIT_NAMES[split]} split has no pixel of {first_few(absent)}."
            yield Note(code=code, detail=detail, hint=_ABSENT_HINTS[split])


def rarity_notes(amounts: Mapping[str, float], what: str) -> Iterator[Note]:
    """rare_class: Less than a thousandth of what is labelled is of a class.

    amounts: Labelled pixels or hectares by class name. what: Their unit, in messages: "labelled hectares".
    """
    labelled = sum(amounts.values())
    for name, amount in amounts.items():
        if 0 < amount < RARE * labelled:
            share = f"{100 * amount / labelled:.3g} %"
            detail = f"{_shown(amount)} of {_shown(labelled)} {what} are of {name}: {share}."
            hint = "Check that what is not drawn is truly another class; if nobody looked, leave it unlabelled."
            yield Note(code="rare_class", detail=detail, hint=hint)


def few_notes(pixels: BySplit) -> Iterator[Note]:
    """few_labels: A split has labels, but fewer than `FEW_PX` labelled pixels. pixels: As for `split_notes`."""
    for split, of_class in pixels.items():
        labelled = sum(of_class.values())
        if 0 < labelled < FEW_PX:
            detail = f"The {SPLIT_NAMES[split]} split has only {labelled:,} labelled pixels."
            yield Note(code="few_labels", detail=detail, hint=_FEW_HINTS[split])


def _shown(amount: float) -> str:
    return f"{amount:,}" if isinstance(amount, int) else f"{amount:,.4g}"
