"""What a net that began with an earlier one has forgotten: its score on the test splits of those before it."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from ml.contract import Contract
from ml.data import LabelledScene
from ml.evaluation.metrics import Metrics
from ml.evaluation.report import EarlierTest
from ml.nn.evaluate import assess
from ml.nn.prediction.row_stream import StreamNet

FORGOTTEN = 0.02  # of kappa: seeds alone differ by as much


@dataclass(frozen=True)
class EarlierSplit:
    """The test split of an earlier version.

    model: The version, like "cane:3". dataset: The dataset of its training. scenes: The scenes of the split. metrics:
    Those of the version on it.
    """

    model: str
    dataset: str
    scenes: tuple[LabelledScene, ...]
    metrics: Metrics


def earlier_tests(
    net: StreamNet,
    contract: Contract,
    splits: Iterable[EarlierSplit],
    trained: Collection[str],
    *,
    check_stop: Callable[[], None],
) -> Iterator[EarlierTest]:
    """Score a net on the test splits of earlier versions, and yield the results.

    trained: Names of the scenes in the training split. check_stop: Called after each window; may raise `Stopped`.
    """
    for split in splits:
        found, _ = assess(net, contract, (), split.scenes, boundary_m=None, report_done=lambda _: check_stop())
        yield EarlierTest(
            model=split.model,
            dataset=split.dataset,
            before=split.metrics,
            after=found,
            trained_on=tuple(scene.name for scene in split.scenes if scene.name in trained),
        )


def forgetting_warnings(tests: Sequence[EarlierTest]) -> Iterator[str]:
    """Warnings of what was forgotten, and of what was not measured fairly."""
    for test in tests:
        split, before, after = f"{test.model} ({test.dataset})", test.before.kappa, test.after.kappa
        if before is not None and after is not None and after < before - FORGOTTEN:
            what = "the net has forgotten what it knew"
            yield f"On the test split of {split} kappa fell from {before:.3f} to {after:.3f}: {what}."
        if count := len(test.trained_on):
            yield f"Of the test split of {split} {count} scenes are trained on: its score says too much."
