"""The epochs of a training: their steps, the score on the val split after each, and the report of both."""

import math
import time
from collections.abc import Callable

import numpy as np

from ml.config import TrainConfig, lovasz_of
from ml.data import TrainingData
from ml.evaluation.metrics import Metrics
from ml.faults import Fault, InputRefused
from ml.nn.evaluate import count
from ml.nn.training.background import Ahead
from ml.nn.training.chips import ChipPosition, ChipSampler
from ml.nn.training.execution import Execution
from ml.nn.training.learning_rate import learning_rate
from ml.nn.training.losses import ramped
from ml.nn.training.state import EpochRow, TrainingState
from ml.nn.training.step import Stepper
from ml.progress import Progress, Watch

Losses = dict[str, float]
Steps = list[list[ChipPosition]]


class Epochs:
    """Trains the net of a state epoch by epoch.

    state: The state after the last finished epoch.
    """

    def __init__(
        self,
        config: TrainConfig,
        data: TrainingData,
        sampler: ChipSampler,
        draws: Ahead[Steps],
        state: TrainingState,
        execution: Execution,
        watch: Watch,
    ) -> None:
        """Prepare the epochs that follow those of `state`.

        draws: Draws the chips of the next epoch from `sampler` while one is trained.
        watch: Called after each step and after each epoch.
        """
        self.state = state
        self._config, self._data, self._sampler, self._draws = config, data, sampler, draws
        self._ranks, self._watch = execution.ranks, watch
        self._stepper = Stepper(config, data.contract, state, execution)
        planned = config.epochs * sampler.steps
        self._total = min(planned, config.max_steps or planned)  # steps of the whole training
        self._done = min(self._total, len(state.series) * sampler.steps)

    def run(self, save: Callable[[], None]) -> None:
        """Train and score the epochs that are left, and report each with its row of the series.

        save: Called on rank 0 when the state has a further finished epoch.
        """
        self._report_start()
        stages = self._stepper.stages
        while self._done < self._total:
            started = time.monotonic()
            losses = self._train()
            with stages("validation"):
                val = self._validate()
            lr = self.state.optimizer.param_groups[0]["lr"]
            row = _row(len(self.state.series) + 1, losses, lr, val, time.monotonic() - started)
            self.state.finish_epoch(row, val)
            if self._ranks.first:
                with stages("copy"):
                    save()
            self._report(row, stages.line())

    def load_kept(self) -> None:
        """Load into the net the weights that the model gets.

        For averaged weights, BatchNorm is measured on the chips of an epoch.
        """
        state = self.state
        if self._config.keep == "best":
            state.net.load_state_dict(state.best)
        if self._config.keep == "averaged":
            state.load_average()
            state.train_mode()
            with self._stepper.batches(self._sampler, self._sampler.epoch(len(state.series))) as batches:
                self._stepper.measure_batch_norm(batches, self._done * self._config.accumulate, self._report)

    def check_stop(self) -> None:
        """Report progress from one rank while it works alone."""
        self._report_alone({}, "")

    def _report_start(self) -> None:
        """Report how a training resumes, and its finished epochs."""
        if self.state.not_resumed:
            self._report(note=f"begins with the first epoch: {self.state.not_resumed}")
        if self.state.moved:
            self._report(note=self.state.moved)
        for row in self.state.series:  # the attempt that measured it may have died before it could report it
            self._report(row)

    def _report(self, row: EpochRow | None = None, note: str = "") -> None:
        """Report progress on all ranks at the same time, so that all of them stop at the same step."""
        self._ranks.together(lambda: self._report_alone(row or {}, note))

    def _report_alone(self, row: EpochRow, note: str) -> None:
        self._watch(Progress("train", self._done, self._total, values=row, note=note))

    def _train(self) -> Losses:
        """Train on the chips of one epoch; return the means of the loss and of its terms.

        A thread draws those of the next epoch meanwhile.
        """
        config, stepper = self._config, self._stepper
        self.state.train_mode()
        number, left = len(self.state.series), self._total - self._done
        with stepper.stages("draw"):
            steps = self._draws.take(number, number + 1 if left > self._sampler.steps else None)[:left]
        with stepper.batches(self._sampler, steps) as batches:
            for _ in steps:
                lr = config.rate * learning_rate(config.optimizer, self._done, self._total)
                loss = ramped(config.loss, self._done, self._total) if config.loss else None
                stepper.step(batches, self._done, lr, self._report, loss)
                self._done += 1
                self._report()
            return _finite(stepper.losses())

    def _validate(self) -> Metrics:
        """Compute the metrics of the net on the val split; the ranks divide its scenes among them."""
        net, contract, val = self.state.net, self._data.contract, self._data.val
        own = val[self._ranks.share(len(val))]
        counts = self._ranks.together(lambda: count(net, contract, own, check_stop=self.check_stop))
        return Metrics.from_confusion(np.sum(counts, axis=0))


def _row(epoch: int, losses: Losses, lr: float, val: Metrics, seconds: float) -> EpochRow:
    """Make the row of an epoch in the series; a loss term with weight 0 is None.

    lr: Learning rate of the last step. seconds: Time of the epoch, with its score on the val split.
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
        "seconds": seconds,
    }


def _finite(losses: Losses) -> Losses:
    if not all(math.isfinite(loss) for loss in losses.values()):
        hint = "Lower optimizer.lr, for example to a tenth."
        detail = "The loss became infinite or NaN, because the steps are too large."
        raise InputRefused(Fault("diverged", detail, hint, "/optimizer/lr"))
    return losses
