"""The header of the checkpoint that a training results in, with the scores of its net on the val and test splits."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ml.checkpoint_header import CheckpointHeader
from ml.config import TrainConfig
from ml.data import LabelledScene, TrainingData
from ml.evaluation.assessment import Assessment
from ml.evaluation.metrics import Metrics
from ml.evaluation.report import LISTED, TrainReport, class_warnings
from ml.geo.raster import pixels_of
from ml.nn.calibrate import LogitSample, calibration
from ml.nn.evaluate import assess, scored_by
from ml.nn.prediction.row_stream import StreamNet, for_scoring
from ml.nn.training.execution import Execution
from ml.nn.training.forgetting import EarlierSplit, earlier_tests, forgetting_warnings
from ml.nn.training.state import TrainingState
from ml.nn.training.suspect_labels import suspect_labels
from ml.provenance import software


class _Scored(NamedTuple):
    """The scores of a net on a split, and the sample of its logits by which it is calibrated."""

    metrics: Metrics
    details: Assessment
    logits: LogitSample


def scored_header(
    config: TrainConfig,
    data: TrainingData,
    state: TrainingState,
    execution: Execution,
    report: TrainReport,
    earlier: Sequence[EarlierSplit],
    check_stop: Callable[[], None],
) -> CheckpointHeader:
    """Score the net of `state` on the val and test splits, and make the header of its checkpoint.

    report: What is known before the first step; the header's report has also what the scores show.
    earlier: See `train`.
    check_stop: Called between windows; may raise `Stopped`.
    """
    net = for_scoring(state.net, views=config.views)
    splits = {"val": data.val, "test": data.test}
    scored = {split: _scored(net, config, data, scenes, check_stop) for split, scenes in splits.items() if scenes}
    metrics = {split: found.metrics for split, found in scored.items()}
    trained = {scene.name for scene in data.train}
    tests = tuple(earlier_tests(net, data.contract, earlier, trained, check_stop=check_stop))
    warnings = (*report.warnings, *class_warnings(report.balance.before, metrics), *forgetting_warnings(tests))
    trust = calibration(scored["val"].logits, scored["test"].logits if "test" in scored else None)
    report = report.model_copy(update={"warnings": warnings, "calibration": trust, "earlier": tests})
    if config.review_labels:
        suspects = suspect_labels(for_scoring(state.net), data.contract, data.train, check_stop=check_stop)
        report = report.model_copy(update={"suspects": len(suspects), "suspect_labels": suspects[:LISTED]})
    return CheckpointHeader(
        contract=data.contract,
        config=config,
        val=metrics["val"],
        test=metrics.get("test"),
        details={split: found.details for split, found in scored.items()},
        report=report,
        best_epoch=state.best_epoch if config.keep == "best" else len(state.series),
        dataset_sha256=data.sha256,
        versions=software() | net.made_by() | execution.made_by() | scored_by(net),
    )


def _scored(
    net: StreamNet,
    config: TrainConfig,
    data: TrainingData,
    scenes: Sequence[LabelledScene],
    check_stop: Callable[[], None],
) -> _Scored:
    logits = LogitSample(sum(pixels_of(scene.path) for scene in scenes), net.outputs)
    metrics, details = assess(
        net,
        data.contract,
        data.references,
        scenes,
        boundary_m=config.boundary_m,
        report_done=lambda _: check_stop(),
        seen=logits,
    )
    return _Scored(metrics, details, logits)
