"""Training a net on labelled scenes, which results in a checkpoint."""

import math
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ml.checkpoint_header import CheckpointHeader
from ml.config import OptimizerConfig, TrainConfig, lovasz_of
from ml.contract import Contract
from ml.data import TrainingData
from ml.evaluation.assessment import Assessment
from ml.evaluation.metrics import Metrics
from ml.evaluation.report import LISTED, BalanceReport, TrainReport, chip_warnings, class_warnings, draw_warnings
from ml.faults import Fault, InputRefused, refuse_any
from ml.frozen import Frozen
from ml.geo.areas import PLANE_ERROR
from ml.geo.raster import pixels_of, rows_of
from ml.geo.watched import WatchedRows
from ml.nn.calibrate import LogitSample, calibration
from ml.nn.checkpoint import LoadedCheckpoint, load_checkpoint, save_checkpoint
from ml.nn.evaluate import assess, count, scored_by
from ml.nn.masks import training_faults
from ml.nn.precision import repeatable
from ml.nn.prediction.row_stream import for_scoring
from ml.nn.training.background import Ahead, Newest
from ml.nn.training.chips import ChipPosition, ChipSampler
from ml.nn.training.decoded_scenes import cache_scene, open_cached
from ml.nn.training.execution import Execution, choose_execution
from ml.nn.training.forgetting import EarlierSplit, earlier_tests, forgetting_warnings
from ml.nn.training.losses import ramped
from ml.nn.training.ranks import ALONE, Ranks
from ml.nn.training.state import EpochRow, TrainingState
from ml.nn.training.step import Stepper
from ml.nn.training.suspect_labels import suspect_labels
from ml.progress import Progress, Watch, silent
from ml.provenance import software
from ml.text import alike
from ml.warm_start import warm_start_faults, warm_start_warnings

Losses = dict[str, float]
Steps = list[list[ChipPosition]]
_NO_HARD = "No usable chip of the training split has a crop of hard_negatives, so these change nothing."


class TrainResult(Frozen):
    """The result of a training.

    model: Path of the checkpoint, with the weights that `config.keep` names.
    header: Header of the checkpoint, with metrics, details by split and report.
    epochs: Number of epochs trained.
    series: One row for each epoch.
    """

    model: Path
    header: CheckpointHeader
    epochs: int
    series: tuple[EpochRow, ...]


def train(
    config: TrainConfig,
    data: TrainingData,
    out: Path,
    watch: Watch = silent,
    ranks: Ranks = ALONE,
    init: Path | None = None,
    saved: Callable[[], None] = lambda: None,
    earlier: Sequence[EarlierSplit] = (),
) -> TrainResult:
    """Train a U-Net on `data.train`, watch it on `data.val`, and evaluate the weights that are kept on `data.test`.

    The checkpoint is written to `model.safetensors` in the folder `out`. A thread saves the state to
    `resume.safetensors` after each epoch, and a repeated call with the same `out` resumes after the last epoch that was
    saved. Its weights are the same as without an interruption: to the bit if processor or GPU, libraries, precision and
    number of threads are the same, else up to rounding; a note of the progress says so if device or precision is
    another.

    The net is scored on the val and test splits in one precision on every device, whatever it is trained in.

    With several ranks, every rank calls this function at the same time with the same `out`. They all return the same
    result, or all raise the error that one of them raised. The weights are those of a single process up to the rounding
    of float32. A training may be resumed with another number of ranks.

    watch: Called after each step, and after each epoch with its row of the series, again after a resume; may raise
        `Stopped`.
    ranks: This process among those that train together.
    init: The checkpoint that `config.init` names, with whose weights the training begins.
    saved: Called by that thread, on rank 0, after each time that it has saved the state; it saves no other meanwhile.
    earlier: Test splits of this model and of those before it, on which the net is scored at the end.

    Raises:
        InputRefused: nothing is labelled, only one class occurs, the config does not fit the classes or the ranks, the
            model to begin with does not fit or was not given, no chip is usable, there is no GPU or no C++ compiler
            although the config requires one, or the loss is not finite.
        Stopped: `watch` raised it.
    """
    execution = choose_execution(config, ranks)
    config = config.for_classes(len(data.contract.classes))
    origin = _origin(config, data.contract, init)
    refuse_any([*_config_faults(config, data), *training_faults(data)])
    with (
        Newest("save") as newest,
        repeatable(execution.precision, compiled=config.compile),
        _chips_of(data, config, out / "scratch", watch, ranks) as sampler,
        Ahead(sampler.epoch) as draws,
    ):
        report = _report(config, data.contract, sampler, origin)
        state = TrainingState(config, data, execution, origin).resume(out / "resume.safetensors")
        _check_same_start(state, ranks)
        counter, stepper = (
            _StepCounter(config, sampler, state, watch, ranks),
            Stepper(config, data.contract, state, execution),
        )
        if state.not_resumed:
            counter.report(note=f"begins with the first epoch: {state.not_resumed}")
        if state.moved:
            counter.report(note=state.moved)
        for row in state.series:  # the attempt that measured it may have died before it could report it
            counter.report(row)
        while counter.done < counter.total:
            started = time.monotonic()
            losses = _train_epoch(config, sampler, draws, state, stepper, counter)
            with stepper.stages("validation"):
                val = _validate(state, data, ranks, counter)
            row = _row(len(state.series) + 1, losses, state.optimizer.param_groups[0]["lr"], val, started)
            state.finish_epoch(row, val)
            if ranks.first:
                with stepper.stages("copy"):
                    newest.submit(partial(_save, state.saving(out / "resume.safetensors"), saved))
            counter.report(row, stepper.stages.line())
        _load_kept(config, sampler, state, stepper, counter)

    def write_model() -> CheckpointHeader:
        header = _header(config, data, state, execution, report, earlier, counter.check_stop)
        save_checkpoint(out / "model.safetensors", state.net.state_dict(), header)
        return header

    model, header, series = out / "model.safetensors", ranks.first_does(write_model), tuple(state.series)
    return TrainResult(model=model, header=header, epochs=len(series), series=series)


class _StepCounter:
    """Counts the steps of the whole training and reports them to `watch`.

    done: Number of finished steps, including those before a resume.
    total: Number of steps of the whole training.
    """

    def __init__(
        self, config: TrainConfig, sampler: ChipSampler, state: TrainingState, watch: Watch, ranks: Ranks
    ) -> None:
        planned = config.epochs * sampler.steps
        self.total = min(planned, config.max_steps or planned)
        self.done = min(self.total, len(state.series) * sampler.steps)
        self._watch, self._ranks = watch, ranks

    def report(self, row: EpochRow | None = None, note: str = "") -> None:
        """Report progress on all ranks at the same time, so that all of them stop at the same step."""
        self._ranks.together(lambda: self._report_alone(row or {}, note))

    def check_stop(self) -> None:
        """Report progress from one rank while it works alone."""
        self._report_alone({}, "")

    def _report_alone(self, row: EpochRow, note: str) -> None:
        self._watch(Progress("train", self.done, self.total, values=row, note=note))


def _check_same_start(state: TrainingState, ranks: Ranks) -> None:
    """Refuse ranks that resume after different epochs, because they would wait for each other for ever.

    Raises:
        InputRefused: code `torn_folder`.
    """
    if len(set(ranks.together(lambda: len(state.series)))) > 1:
        detail = "The processes resume after different epochs, because they do not share the folder of the training."
        raise InputRefused(Fault("torn_folder", detail, "Start all processes on one machine, with one folder."))


def _validate(state: TrainingState, data: TrainingData, ranks: Ranks, counter: _StepCounter) -> Metrics:
    """Compute the metrics of the net on the val split; the ranks divide its scenes among them."""
    own = data.val[ranks.share(len(data.val))]
    counts = ranks.together(lambda: count(state.net, data.contract, own, check_stop=counter.check_stop))
    return Metrics.from_confusion(np.sum(counts, axis=0))


def _save(write: Callable[[], None], saved: Callable[[], None]) -> None:
    write()
    saved()


def _train_epoch(
    config: TrainConfig,
    sampler: ChipSampler,
    draws: Ahead[Steps],
    state: TrainingState,
    stepper: Stepper,
    counter: _StepCounter,
) -> Losses:
    """Train on the chips of one epoch; return the means of the loss and of its terms.

    A thread draws those of the next epoch meanwhile.
    """
    state.train_mode()
    number, left = len(state.series), counter.total - counter.done
    with stepper.stages("draw"):
        steps = draws.take(number, number + 1 if left > sampler.steps else None)[:left]
    with stepper.batches(sampler, steps) as batches:
        for _ in steps:
            lr = config.rate * learning_rate(config.optimizer, counter.done, counter.total)
            loss = ramped(config.loss, counter.done, counter.total) if config.loss else None
            stepper.step(batches, counter.done, lr, counter.report, loss)
            counter.done += 1
            counter.report()
        return _finite(stepper.losses())


def _load_kept(
    config: TrainConfig, sampler: ChipSampler, state: TrainingState, stepper: Stepper, counter: _StepCounter
) -> None:
    """Load into the net the weights that the model gets.

    For averaged weights, BatchNorm is measured on the chips of an epoch.
    """
    if config.keep == "best":
        state.net.load_state_dict(state.best)
    if config.keep == "averaged":
        state.load_average()
        state.train_mode()
        with stepper.batches(sampler, sampler.epoch(len(state.series))) as batches:
            stepper.measure_batch_norm(batches, counter.done * config.accumulate, counter.report)


def learning_rate(config: OptimizerConfig, step: int, total: int) -> float:
    """Return the learning rate of the step with this number, from 0, of `total` steps."""
    warm = round(config.warmup * total)
    if step < warm:
        return config.lr * (step + 1) / (warm + 1)
    t = (step - warm) / (total - warm)
    if config.schedule == "poly":
        return config.lr * math.pow(1 - t, 0.9)
    return config.lr * (1 + math.cos(math.pi * t)) / 2 if config.schedule == "cosine" else config.lr


def _row(epoch: int, losses: Losses, lr: float, val: Metrics, started: float) -> EpochRow:
    """Make the row of an epoch in the series; a loss term with weight 0 is None.

    lr: Learning rate of the last step.
    started: Start of the epoch by `time.monotonic`, in seconds.
    """
    lovasz = f"loss_{lovasz_of(len(val.confusion))}"
    return {
        "epoch": epoch,
        "loss": losses["loss"],
        "loss_ce": losses.get("loss_ce"),
        lovasz: losses.get(lovasz),
        "lr": lr,
        "val_accuracy": val.accuracy,
        "val_iou": val.iou,
        "val_kappa": val.kappa,
        "seconds": time.monotonic() - started,
    }


def _finite(losses: Losses) -> Losses:
    if not all(math.isfinite(loss) for loss in losses.values()):
        hint = "Lower optimizer.lr, for example to a tenth."
        detail = "The loss became infinite or NaN, because the steps are too large."
        raise InputRefused(Fault("diverged", detail, hint, "/optimizer/lr"))
    return losses


def _config_faults(config: TrainConfig, data: TrainingData) -> Iterator[Fault]:
    """Find what in `config` contradicts itself, or does not fit the classes and references of `data`."""
    if config.batch_size == 1 and config.chip_size == 2**config.net.depth:
        detail = "With one chip of 2^depth pixels, BatchNorm has one value per channel and no variance to divide by."
        yield Fault("chip_too_small", detail, "Raise batch_size or chip_size, or lower net.depth.", "/chip_size")
    yield from config.data_faults(len(data.contract.classes), data.references)


def _origin(config: TrainConfig, contract: Contract, init: Path | None) -> LoadedCheckpoint | None:
    """Load the model with which the training begins, if the config names one.

    Raises:
        InputRefused: bad_checkpoint, the faults of `warm_start_faults`, or code `no_init`: its file was not given.
    """
    if config.init is None:
        return None
    if init is None:
        raise InputRefused(
            Fault("no_init", f"The file of the model {config.init} was not given.", "Give it as --init.")
        )
    origin = load_checkpoint(init)
    refuse_any(warm_start_faults(config, contract, origin.header.config.net, origin.header.contract))
    return origin


def _report(
    config: TrainConfig, contract: Contract, sampler: ChipSampler, origin: LoadedCheckpoint | None
) -> TrainReport:
    def by_name(pixels: NDArray[np.int64]) -> dict[str, int]:
        return {item.name: int(count) for item, count in zip(contract.classes, pixels, strict=True)}

    def by_reason(pixels: Mapping[str, NDArray[np.int64]]) -> dict[str, dict[str, int]]:
        named = {why: {name: count for name, count in by_name(of).items() if count} for why, of in pixels.items()}
        return {why: of for why, of in named.items() if of}

    balance = BalanceReport(
        mode=config.balance, before=by_name(sampler.pixels()), after=by_name(sampler.drawn_pixels(0))
    )
    dropped, kept = by_reason(sampler.dropped_pixels), by_reason(sampler.kept_pixels)
    hard = [] if sampler.has_hard or not config.hard_negatives else [_NO_HARD]
    return TrainReport(
        balance=balance,
        dropped=Counter(chip.why for chip in sampler.dropped),
        dropped_chips=sampler.dropped[:LISTED],
        dropped_pixels=dropped,
        warnings=(
            *config.warnings(homogenised=contract.homogenise is not None),
            *(warm_start_warnings(config, contract, origin.header.contract) if origin else ()),
            *_boundary_warnings(config, contract),
            *hard,
            *chip_warnings(by_name(sampler.seen_pixels), dropped, kept),
            *draw_warnings(balance.before, balance.after),
        ),
    )


def _boundary_warnings(config: TrainConfig, contract: Contract) -> Iterator[str]:
    if config.boundary_m and config.boundary_m * (1 + PLANE_ERROR) < contract.gsd:
        pixel = f"a pixel of {contract.gsd:g} m"
        yield f"boundary_m {config.boundary_m:g} is below {pixel}: the boundary IoU is undefined."


def _header(
    config: TrainConfig,
    data: TrainingData,
    state: TrainingState,
    execution: Execution,
    report: TrainReport,
    earlier: Sequence[EarlierSplit],
    check_stop: Callable[[], None],
) -> CheckpointHeader:
    """Evaluate the net with the kept weights on the val and test splits, and make the header of its checkpoint.

    check_stop: Called between windows; may raise `Stopped`.
    """
    contract, net = data.contract, for_scoring(state.net, views=config.views)
    metrics: dict[str, Metrics] = {}
    details: dict[str, Assessment] = {}
    samples: dict[str, LogitSample] = {}
    for split, scenes in (("val", data.val), ("test", data.test)):
        if scenes:
            samples[split] = LogitSample(sum(pixels_of(scene.path) for scene in scenes), net.outputs)
            metrics[split], details[split] = assess(
                net,
                contract,
                data.references,
                scenes,
                boundary_m=config.boundary_m,
                report_done=lambda _: check_stop(),
                seen=samples[split],
            )
    trained = {scene.name for scene in data.train}
    tests = tuple(earlier_tests(net, contract, earlier, trained, check_stop=check_stop))
    warnings = (*report.warnings, *class_warnings(report.balance.before, metrics), *forgetting_warnings(tests))
    trust = calibration(samples["val"], samples.get("test"))
    report = report.model_copy(update={"warnings": warnings, "calibration": trust, "earlier": tests})
    if config.review_labels:
        suspects = suspect_labels(for_scoring(state.net), contract, data.train, check_stop=check_stop)
        report = report.model_copy(update={"suspects": len(suspects), "suspect_labels": suspects[:LISTED]})
    return CheckpointHeader(
        contract=contract,
        config=config,
        val=metrics["val"],
        test=metrics.get("test"),
        details=details,
        report=report,
        best_epoch=state.best_epoch if config.keep == "best" else len(state.series),
        dataset_sha256=data.sha256,
        versions=software() | net.made_by() | execution.made_by() | scored_by(net),
    )


@contextmanager
def _chips_of(
    data: TrainingData, config: TrainConfig, scratch: Path, watch: Watch, ranks: Ranks
) -> Iterator[ChipSampler]:
    """Decode the training split into the folder `scratch`, on all ranks together, and sample chips from it.

    `scratch` is removed at the end of the context.
    """
    names = set(map(alike, config.hard_negatives))
    hard = [index for index, name in enumerate(data.references) if alike(name) in names]
    folders = [(scene, scratch / str(number)) for number, scene in enumerate(data.train)]

    def clear() -> None:
        shutil.rmtree(scratch, ignore_errors=True)

    def decode() -> None:
        own = folders[ranks.share(len(folders))]
        rows = WatchedRows(watch, "decode", sum(rows_of(scene.path) for scene, _ in own))
        for scene, folder in own:
            cache_scene(scene, data.contract, folder, hard=hard, through=rows.of(scene.name))
        rows.end()

    ranks.first_does(clear)  # removes the files of an attempt that was killed
    try:
        ranks.together(decode)
        yield ChipSampler([open_cached(scene.name, folder) for scene, folder in folders], config, data.contract)
    finally:
        if ranks.first:
            clear()
