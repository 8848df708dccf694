"""What a training has to say beside its metrics: how it balanced, what it left out, which labels it doubts."""

from ml.datasets.unusable_chips import DroppedChip
from ml.frozen import Frozen

LISTED = 200  # a report names so many chips and blocks at most; it always counts all


class BalanceReport(Frozen):
    """Labelled pixels of the training split by class name.

    before: as they are. after: in all chips of the first epoch, counted by drawing it, before augmentation.
    """

    mode: str
    before: dict[str, int]
    after: dict[str, int]


class SuspectLabels(Frozen):
    """A block of a training scene. contradicted: share of its `pixels` labelled ones that the net is sure are wrong."""

    scene: str
    row: int
    col: int
    rows: int
    cols: int
    pixels: int
    contradicted: float


class TrainReport(Frozen):
    """dropped: chips by reason; dropped_chips, suspect_labels: the first of them, and the most doubtful.

    suspects: how many blocks are doubtful in all; None if nobody looked. warnings: settings that are unwise.
    """

    balance: BalanceReport
    dropped: dict[str, int]
    dropped_chips: tuple[DroppedChip, ...]
    suspects: int | None = None
    suspect_labels: tuple[SuspectLabels, ...] = ()
    warnings: tuple[str, ...] = ()
