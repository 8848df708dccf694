"""Trained variants, as their checkpoints describe them, compared."""

from collections.abc import Sequence

from ml.checkpoint_header import CheckpointHeader
from ml.evaluation.comparison import Comparison, ScoredTraining, compare


def compare_headers(trained: Sequence[tuple[str, CheckpointHeader]]) -> Comparison:
    """Compare (variant, header of its checkpoint) on the test split, or on val if there is no test split.

    The first variant is the baseline. On val, which chose each run's epoch, the figures are optimistic: a note says so.
    """
    split = "test" if all(header.test for _, header in trained) else "val"
    compared = compare([_run(variant, header, split) for variant, header in trained], split=split)
    if split == "test":
        return compared
    note = "There is no test split: the figures are of val, which chose the epochs, and therefore optimistic."
    return compared.model_copy(update={"notes": (*compared.notes, note)})


def _run(variant: str, header: CheckpointHeader, split: str) -> ScoredTraining:
    metrics = header.test if split == "test" else header.val
    if metrics is None:
        raise ValueError(f"a run of {variant} has no metrics of {split}")
    return ScoredTraining(
        variant=variant, seed=header.config.seed, metrics=metrics, blocks=header.details[split].blocks
    )
