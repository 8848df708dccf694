"""The report of a training beside its metrics: balancing, chips that were left out, and doubtful labels."""

from collections.abc import Iterator, Mapping

import numpy as np
from pydantic import Field

from ml.class_notes import SPLIT_NAMES, split_notes
from ml.datasets.unusable_chips import MOST, DroppedChip
from ml.evaluation.calibration import Calibration
from ml.evaluation.metrics import Metrics
from ml.frozen import Frozen
from ml.text import first_few

ByReason = Mapping[str, Mapping[str, int]]
_LOOKS = {"little_valid": "nearly empty", "constant": "constant", "cloud": "like cloud"}
LISTED = 200  # a report lists at most this number of chips and of blocks; it always counts all


class BalanceReport(Frozen):
    """Labelled pixels of the training split by class name.

    mode: Setting `balance` of the training. before: Pixels in the masks. after: Pixels in all chips that the first
    epoch draws, before augmentation.
    """

    mode: str
    before: dict[str, int]
    after: dict[str, int]


class SuspectLabels(Frozen):
    """A block of a training scene with doubtful labels.

    row, col: Position of its upper left pixel in the scene. rows, cols: Size in pixels. pixels: Number of its labelled
    pixels. contradicted: Share of them that the net is sure are wrong, 0 to 1.
    """

    scene: str
    row: int
    col: int
    rows: int
    cols: int
    pixels: int
    contradicted: float


class EarlierTest(Frozen):
    """The score of a net on the test split of an earlier version, with whose weights its training began.

    The training may have begun with a version that began with that one. model: The earlier version, like "cane:3".
    dataset: The dataset of its training. before, after: Metrics of the earlier version, and of the net, on the split.
    trained_on: Scenes of the split that are also in the training split of the net.
    """

    model: str
    dataset: str
    before: Metrics
    after: Metrics
    trained_on: tuple[str, ...] = ()


class TrainReport(Frozen):
    """The report of one training.

    dropped: Number of chips that were not trained on, by reason. dropped_chips: The first of them. dropped_pixels:
    Labelled pixels of all of them, by reason and then by class name, without zeros. suspects: Number of
    all blocks with doubtful labels, or None if labels were not reviewed. suspect_labels: The most doubtful of these
    blocks. warnings: Settings that are allowed but unwise, and classes that were hardly seen, not learnt or not
    measured. calibration: How sure the net is of what is right, and the temperature of its probabilities; None for
    models of before it was measured. earlier: Scores on the test splits of the versions that the training goes back to,
    the last one first, by which forgetting shows.
    """

    balance: BalanceReport
    dropped: dict[str, int]
    dropped_chips: tuple[DroppedChip, ...]
    dropped_pixels: ByReason = Field(default_factory=dict, exclude_if=lambda value: not value)
    suspects: int | None = None
    suspect_labels: tuple[SuspectLabels, ...] = ()
    warnings: tuple[str, ...] = ()
    calibration: Calibration | None = None
    earlier: tuple[EarlierTest, ...] = ()


def chip_warnings(seen: Mapping[str, int], dropped: ByReason, kept: ByReason) -> Iterator[str]:
    """Classes that the search for unusable chips would hardly leave, or hardly leaves.

    seen: Labelled pixels in the chips that are trained on, by class name. dropped, kept: Labelled pixels in the chips
    that look unusable, by reason and then by class name, without zeros; only those of `kept` are trained on.
    """
    for why, pixels in kept.items():
        for name, count in pixels.items():
            share = count / seen[name]
            if share > MOST:
                those = f"{100 * share:.0f} % of the pixels of {name} that are trained on ({count:,})"
                yield f"{those} are in chips that look {_LOOKS[why]}: check that they show {name}."
    for name, count in seen.items():
        lost = {why: pixels[name] for why, pixels in dropped.items() if name in pixels}
        if sum(lost.values()) > MOST * (count + sum(lost.values())):
            reasons = ", ".join(f"{pixels:,} in chips that look {_LOOKS[why]}" for why, pixels in lost.items())
            yield f"Of {name} only {count:,} labelled pixels are trained on; not so {reasons}: lower min_valid."


def draw_warnings(before: Mapping[str, int], after: Mapping[str, int]) -> Iterator[str]:
    """Classes of which an epoch draws nothing; before, after: As in `BalanceReport`."""
    if never := [f"{name} ({before[name]:,} px)" for name in before if before[name] and not after[name]]:
        yield f"The first epoch draws no pixel of {first_few(never)}: raise steps_per_epoch."


def class_warnings(trained: Mapping[str, int], metrics: Mapping[str, Metrics]) -> Iterator[str]:
    """What the metrics of a training do not show: classes that a split lacks, and classes of which nothing was found.

    trained: Labelled pixels of the training split by class name, in the order of the contract. metrics: Of each other
    split that was scored.
    """
    confusions = {split: np.array(found.confusion) for split, found in metrics.items()}
    truly = {split: counts.sum(axis=1).tolist() for split, counts in confusions.items()}
    labelled = {split: dict(zip(trained, pixels, strict=True)) for split, pixels in truly.items()}
    for note in split_notes({"train": trained, **labelled}):
        yield f"{note.detail} {note.hint}"
    for split, counts in confusions.items():
        found = zip(labelled[split].items(), counts.diagonal(), strict=True)
        missed = [f"{name} ({pixels:,} px)" for (name, pixels), right in found if pixels and not right]
        if missed:
            yield f"In the {SPLIT_NAMES[split]} split nothing is found of {first_few(missed)}."
