"""Compare trained variants by the headers of their checkpoints."""

from collections.abc import Sequence

from ml.checkpoint_header import CheckpointHeader
from ml.evaluation.comparison import Comparison, ScoredTraining, compare
from ml.provenance import scored_in


def compare_headers(trained: Sequence[tuple[str, CheckpointHeader]]) -> Comparison:
    """Compare trainings, each a variant and the header of its checkpoint, on test, or on val if one has no test split.

    The first variant is the baseline. Where the val split chose the epochs, its metrics are optimistic; a note
    says so.
    """
    split = "test" if all(header.test for _, header in trained) else "val"
    compared = compare([_scored_training(variant, header, split) for variant, header in trained], split=split)
    if notes := _unlike(trained):
        compared = compared.model_copy(update={"notes": (*compared.notes, *notes)})
    if split == "test" or all(header.config.keep != "best" for _, header in trained):
        return compared
    note = "There is no test split. The metrics are those of val, which chose the epochs, so they are optimistic."
    return compared.model_copy(update={"notes": (*compared.notes, note)})


def _unlike(trained: Sequence[tuple[str, CheckpointHeader]]) -> tuple[str, ...]:
    """A note if the trainings were scored in unlike precisions or on unlike devices."""
    ways = sorted({scored_in(header.versions) for _, header in trained})
    if len(ways) < 2:
        return ()
    listed = " and ".join(f"in {precision} on {device}" for precision, device in ways)
    return (f"The trainings were scored {listed}: differences of some pixels in a thousand may be rounding.",)


def _scored_training(variant: str, header: CheckpointHeader, split: str) -> ScoredTraining:
    metrics = header.test if split == "test" else header.val
    if metrics is None:
        raise ValueError(f"a training of {variant} has no metrics on {split}")
    return ScoredTraining(
        variant=variant, seed=header.config.seed, metrics=metrics, blocks=header.details[split].blocks
    )
