"""Training: from labelled scenes to a checkpoint."""

import math
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ml.checkpoint_header import CheckpointHeader
from ml.config import OptimizerConfig, TrainConfig, lovasz_of
from ml.contract import Contract
from ml.data import TrainingData
from ml.evaluation.assessment import Assessment
from ml.evaluation.metrics import Metrics
from ml.evaluation.report import LISTED, BalanceReport, TrainReport
from ml.faults import Fault, InputRefused, refuse_any
from ml.frozen import Frozen
from ml.nn.checkpoint import save_checkpoint
from ml.nn.evaluate import assess, count
from ml.nn.masks import training_faults
from ml.nn.prediction.row_stream import for_prediction
from ml.nn.training.chips import ChipSampler
from ml.nn.training.decoded_scenes import cache_scene, open_cached
from ml.nn.training.execution import Execution, choose_execution
from ml.nn.training.ranks import ALONE, Ranks
from ml.nn.training.state import EpochRow, TrainingState
from ml.nn.training.step import Stepper
from ml.nn.training.suspect_labels import suspect_labels
from ml.progress import Progress, Watch, silent
from ml.provenance import software

Losses = dict[str, float]


class TrainResult(Frozen):
    """What a training leaves. model: the checkpoint of the best epoch.

    header: what it says of itself: metrics, details by split, report. epochs: trained in all. series: one row an epoch.
    """

    model: Path
    header: CheckpointHeader
    epochs: int
    series: tuple[EpochRow, ...]


def train(
    config: TrainConfig, data: TrainingData, out: Path, watch: Watch = silent, ranks: Ranks = ALONE
) -> TrainResult:
    """Train a U-Net on `data.train`, keep the epoch with the best IoU on `data.val`, score it once on `data.test`.

    Writes `model.safetensors` into the folder `out`, and `resume.safetensors` after each epoch: the same call on the
    same `out` goes on after the last whole epoch. It ends at the same weights, to the bit if processor, libraries,
    precision and number of threads are the same. `watch` hears of each step, and after each epoch of its row of the
    series (again after a resume); it may raise `Stopped`.

    With several `ranks` each of them calls this at once, with one `out`, and all end together: with one result, or
    with what ended one of them. The weights are those of a single process up to float32's rounding, and how many there
    are may change with a resume.

    Raises:
        InputRefused: nothing labelled, one class only, a config that does not fit the classes or the ranks, no usable
            chip, no GPU, no C++ compiler where one is needed,
            a loss that is not finite.
    """
    execution = choose_execution(config, ranks)
    config = config.for_classes(len(data.contract.classes))
    refuse_any([*_config_faults(config, data), *training_faults(data)])
    with _reproducible(), _chips_of(data, config, out / "scratch", watch, ranks) as sampler:
        report = _report(config, data.contract, sampler)
        run = TrainingState(config, data, execution).resume(out / "resume.safetensors")
        _same_start(run, ranks)
        clock, stepper = (
            _StepCounter(config, sampler, run, watch, ranks),
            Stepper(config, data.contract, run, execution),
        )
        for row in run.series:  # the attempt that measured it may have died before it could tell
            clock.tick(row)
        while clock.done < clock.total:
            started = time.monotonic()
            losses = _train_epoch(config, sampler, run, stepper, clock)
            with stepper.stages("validation"):
                val = _validated(run, data, ranks, clock)
            row = _row(len(run.series) + 1, losses, run.optimizer.param_groups[0]["lr"], val, started)
            run.finish_epoch(row, val)
            if ranks.first:
                run.save(out / "resume.safetensors")
            clock.tick(row, stepper.stages.line())
    run.net.load_state_dict(run.best)

    def keep() -> CheckpointHeader:
        header = _header(config, data, run, execution, report, clock.check_stop)
        save_checkpoint(out / "model.safetensors", run.best, header)
        return header

    header = ranks.first_does(keep)
    return TrainResult(model=out / "model.safetensors", header=header, epochs=len(run.series), series=tuple(run.series))


class _StepCounter:
    """Counts steps over the whole training and tells `watch`. done: of `total` steps."""

    def __init__(
        self, config: TrainConfig, sampler: ChipSampler, run: TrainingState, watch: Watch, ranks: Ranks
    ) -> None:
        planned = config.epochs * sampler.steps
        self.total = min(planned, config.max_steps or planned)
        self.done = min(self.total, len(run.series) * sampler.steps)
        self._watch, self._ranks = watch, ranks

    def tick(self, row: EpochRow | None = None, note: str = "") -> None:
        """Told by all ranks at once, so that all stop at one step."""
        self._ranks.together(lambda: self._tell(row or {}, note))

    def check_stop(self) -> None:
        """Told by one rank in work of its own."""
        self._tell({}, "")

    def _tell(self, row: EpochRow, note: str) -> None:
        self._watch(Progress("train", self.done, self.total, values=row, note=note))


def _same_start(run: TrainingState, ranks: Ranks) -> None:
    """Refuse ranks that do not read one resume file: each step would wait for one that somebody else does not take."""
    if len(set(ranks.together(lambda: len(run.series)))) > 1:
        detail = "The processes find different epochs to go on from: they do not share the folder of the training."
        raise InputRefused(Fault("torn_folder", detail, "Start all processes on one machine, with one folder."))


def _validated(run: TrainingState, data: TrainingData, ranks: Ranks, clock: _StepCounter) -> Metrics:
    """The metrics of the net on the val split, whose scenes the ranks share."""
    mine = data.val[ranks.part(len(data.val))]
    counts = ranks.together(lambda: count(run.net, data.contract, mine, check_stop=clock.check_stop))
    return Metrics.from_confusion(np.sum(counts, axis=0))


def _train_epoch(
    config: TrainConfig, sampler: ChipSampler, run: TrainingState, stepper: Stepper, clock: _StepCounter
) -> Losses:
    """One pass over the chips of an epoch; the mean of the loss and of its parts."""
    run.net.train()
    with stepper.stages("draw"):
        steps = sampler.epoch(len(run.series))[: clock.total - clock.done]
    with stepper.batches(sampler, steps) as batches:
        for _ in steps:
            lr = learning_rate(config.optimizer, clock.done / clock.total)
            stepper.step(batches, clock.done, lr, clock.tick)
            clock.done += 1
            clock.tick()
        return _finite(stepper.losses())


def learning_rate(config: OptimizerConfig, t: float) -> float:
    """The learning rate when the share t in [0, 1) of all steps is done."""
    if config.schedule == "poly":
        return config.lr * math.pow(1 - t, 0.9)
    return config.lr * (1 + math.cos(math.pi * t)) / 2 if config.schedule == "cosine" else config.lr


def _row(epoch: int, losses: Losses, lr: float, val: Metrics, started: float) -> EpochRow:
    """One row of the series; a part of the loss without weight is None."""
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
        hint = "Lower optimizer.lr, to a tenth say."
        raise InputRefused(
            Fault("diverged", "The loss became infinite: the steps are too large.", hint, "/optimizer/lr")
        )
    return losses


def _config_faults(config: TrainConfig, data: TrainingData) -> Iterator[Fault]:
    """What in `config` does not fit itself or the classes and references of `data`."""
    if config.batch_size == 1 and config.chip_size == 2**config.net.depth:
        detail = "One chip of 2^depth pixels leaves BatchNorm a single value a channel, of which there is no variance."
        yield Fault("chip_too_small", detail, "Raise batch_size or chip_size, or lower net.depth.", "/chip_size")
    yield from config.data_faults(len(data.contract.classes), data.references)


def _report(config: TrainConfig, contract: Contract, sampler: ChipSampler) -> TrainReport:
    def by_name(pixels: NDArray[np.int64]) -> dict[str, int]:
        return {item.name: int(count) for item, count in zip(contract.classes, pixels, strict=True)}

    balance = BalanceReport(
        mode=config.balance, before=by_name(sampler.pixels()), after=by_name(sampler.drawn_pixels(0))
    )
    return TrainReport(
        balance=balance,
        dropped=Counter(chip.why for chip in sampler.dropped),
        dropped_chips=sampler.dropped[:LISTED],
        warnings=config.warnings(),
    )


def _header(
    config: TrainConfig,
    data: TrainingData,
    run: TrainingState,
    execution: Execution,
    report: TrainReport,
    check_stop: Callable[[], None],
) -> CheckpointHeader:
    """Everything the checkpoint says, of the kept net on the val and test splits."""
    contract, net = data.contract, for_prediction(run.net)
    metrics: dict[str, Metrics] = {}
    details: dict[str, Assessment] = {}
    for split, scenes in (("val", data.val), ("test", data.test)):
        if scenes:
            metrics[split], details[split] = assess(
                net, contract, data.references, scenes, boundary_m=config.boundary_m, tell=lambda _: check_stop()
            )
    if config.review_labels:
        suspects = suspect_labels(net, contract, data.train, check_stop=check_stop)
        report = report.model_copy(update={"suspects": len(suspects), "suspect_labels": suspects[:LISTED]})
    return CheckpointHeader(
        contract=contract,
        config=config,
        val=metrics["val"],
        test=metrics.get("test"),
        details=details,
        report=report,
        best_epoch=run.best_epoch,
        dataset_sha256=data.sha256,
        versions=software() | net.made_by() | execution.made_by(),
    )


@contextmanager
def _chips_of(
    data: TrainingData, config: TrainConfig, scratch: Path, watch: Watch, ranks: Ranks
) -> Iterator[ChipSampler]:
    """A sampler over the training split, decoded by the ranks together into `scratch`, which is removed at the end."""
    hard = [data.references.index(name) for name in config.hard_negatives]
    folders = [(scene, scratch / str(number)) for number, scene in enumerate(data.train)]

    def clear() -> None:
        shutil.rmtree(scratch, ignore_errors=True)

    def decode() -> None:
        mine = folders[ranks.part(len(folders))]
        for number, (scene, folder) in enumerate(mine):
            cache_scene(scene, data.contract, folder, hard=hard)
            watch(Progress("decode", number + 1, len(mine), scene.name))

    ranks.first_does(clear)  # of an attempt that was killed
    try:
        ranks.together(decode)
        yield ChipSampler([open_cached(scene.name, folder) for scene, folder in folders], config, data.contract)
    finally:
        if ranks.first:
            clear()


@contextmanager
def _reproducible() -> Iterator[None]:
    """Deterministic algorithms only; where a device lacks one torch warns."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
