"""The state of a training between two epochs, saved after each, so that an interruption does not change the result."""

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import ValidationError
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ml.checkpoint_header import read_metadata
from ml.config import TrainConfig
from ml.data import TrainingData
from ml.evaluation.metrics import Metrics, standing
from ml.faults import InputRefused
from ml.frozen import Frozen
from ml.nn.checkpoint import LoadedCheckpoint, load_tensors, save_tensors
from ml.nn.precision import device_name
from ml.nn.training.execution import Execution
from ml.nn.training.optimisers import make_optimizer
from ml.nn.unet import UNet, make_net
from ml.warm_start import same_classes

EpochRow = dict[str, float | int | None]
# fields of a config that are younger than fingerprints without defaults
_LATER: Any = {
    **dict.fromkeys(("preset", "init", "init_rate", "frozen_levels", "keep", "average_decay", "views"), True),
    "optimizer": {"warmup"},
    "loss": {"lovasz_ramp"},
}


class _SavedState(Frozen):
    """The metadata of a saved state, beside its tensors.

    job: Fingerprint of the config and the data.
    series: One row for each finished epoch.
    best_epoch, best_metrics: See `TrainingState`.
    """

    job: str
    series: tuple[EpochRow, ...]
    best_epoch: int
    best_metrics: Metrics | None


class TrainingState:
    """The state of a training after `len(series)` epochs.

    net: Net in training, on the device of the training.
    optimizer: Optimiser of the weights of the net.
    series: One row for each finished epoch.
    best_epoch: Number of the epoch that stands highest on the val split so far (`ml.evaluation.metrics.standing`), from
        1; the earliest if several are equal, 0 if no epoch is finished.
    best_metrics: Metrics of the best epoch on the val split; None if no epoch is finished.
    best: Tensors of the net after the best epoch, on the CPU.
    moved: That the finished epochs were computed on another device or in another precision, in words; "" if not.
    not_resumed: Why `resume` could not use the file that it found, in words; "" if it could, or found none.
    average: Running average of each parameter of the net, on its device; empty if the config does not keep it.
    """

    def __init__(
        self, config: TrainConfig, data: TrainingData, execution: Execution, origin: LoadedCheckpoint | None = None
    ) -> None:
        """Make the state of a training that has no finished epoch.

        origin: The model with whose weights it begins; by default with random ones.
        """
        self._job = _fingerprint(config, data)
        self._known = {self._job, _fingerprint(config, data, defaults=True)}
        self.not_resumed = self.moved = ""
        self._computed = f"{device_name(execution.device)} in {execution.precision.name}"
        gpus = [execution.device] if execution.device.type == "cuda" else []  # not the GPUs of other processes
        with torch.random.fork_rng(gpus):
            torch.manual_seed(config.seed)
            net = make_net(data.contract, config.net)
        if origin is not None:
            _copy_weights(origin.net, net, head=same_classes(data.contract, origin.header.contract))
        net = net.to(execution.device)
        self.net: UNet = net.to(memory_format=execution.memory_format)  # type: ignore[call-overload]
        self._frozen = [self.net.stem, *self.net.down][: config.frozen_levels]
        for block in self._frozen:
            block.requires_grad_(False)
        self.train_mode()
        self.optimizer = make_optimizer(config.optimizer, self.net, fused=execution.fused)
        self._decay = config.average_decay
        self.average = [weight.detach().clone() for weight in self._averaged] if config.keep == "averaged" else []
        self.series: list[EpochRow] = []
        self.best: dict[str, Tensor] = {}
        self.best_epoch = 0
        self.best_metrics: Metrics | None = None

    def train_mode(self) -> None:
        """Let BatchNorm use and count the statistics of batches, but in frozen levels those of the origin."""
        self.net.train()
        for block in self._frozen:
            block.eval()

    @property
    def _averaged(self) -> list[Tensor]:
        """The parameters of the net, in the order of `average`."""
        return list(self.net.parameters())

    def add_to_average(self, step: int) -> None:
        """Let the weights after the step with this number, from 0, count in their running average.

        The decay grows with the steps as in TensorFlow's ExponentialMovingAverage, which forgets the initial weights.
        """
        if self.average:
            decay = min(self._decay, (1 + step) / (10 + step))
            get_ema_multi_avg_fn(decay)(self.average, self._averaged, None)  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def load_average(self) -> None:
        """Give the net the averaged weights. Its BatchNorm keeps the statistics of other weights."""
        for weight, average in zip(self._averaged, self.average, strict=True):
            weight.copy_(average)

    def finish_epoch(self, row: EpochRow, val: Metrics) -> None:
        """Append the `row` of an epoch to the series, and copy the net to `best` if `val` stands highest so far.

        val: Metrics of the net on the val split.
        """
        self.series.append(row)
        if self.best_metrics is None or _standing(val) > _standing(self.best_metrics):
            self.best_epoch, self.best_metrics = len(self.series), val
            self.best = {name: tensor.detach().cpu().clone() for name, tensor in self.net.state_dict().items()}

    def save(self, path: Path) -> None:
        """Write the state to the file `path`; an interrupted write leaves the old file unchanged."""
        self.saving(path)()

    def saving(self, path: Path) -> Callable[[], None]:
        """Copy the state as it is now, and return a function that writes it to `path` as `save` does.

        The training may go on meanwhile.
        """
        saved = _SavedState(
            job=self._job, series=tuple(self.series), best_epoch=self.best_epoch, best_metrics=self.best_metrics
        )
        tensors: dict[str, Tensor] = {f"net.{name}": tensor for name, tensor in self.net.state_dict().items()}
        tensors |= {f"average.{index}": tensor for index, tensor in enumerate(self.average)}
        tensors |= {
            f"optimizer.{index}.{name}": tensor
            for index, state in self.optimizer.state_dict()["state"].items()
            for name, tensor in state.items()
            if tensor is not None
        }
        best = {f"best.{name}": tensor for name, tensor in self.best.items()}  # never change, so they are not copied
        copied = best | {name: _copied(tensor) for name, tensor in tensors.items()}
        # beside the state, where workers of older versions, which refuse unknown fields, do not look
        return partial(save_tensors, path, copied, {"run": saved.model_dump_json(), "computed": self._computed})

    def resume(self, path: Path) -> Self:
        """Load the state from the file `path`, and return this object.

        If the file is missing, is damaged, or belongs to another config or other data, nothing changes but
        `not_resumed`.
        """
        try:
            saved, tensors = _SavedState.model_validate_json(read_metadata(path, "run")), load_tensors(path)
        except FileNotFoundError:
            return self
        except (ValidationError, InputRefused):
            self.not_resumed = "the file of the finished epochs cannot be read"
            return self
        if saved.job not in self._known:
            self.not_resumed = "the finished epochs are of another config or of other data"
            return self
        self.moved = self._moved_from(path)
        self.series, self.best_epoch, self.best_metrics = list(saved.series), saved.best_epoch, saved.best_metrics
        self.net.load_state_dict(_without_prefix("net.", tensors))
        self.best = _without_prefix("best.", tensors)
        for number, average in enumerate(self.average):
            average.copy_(tensors[f"average.{number}"])
        state: dict[int, dict[str, Tensor]] = {}
        weights = list(self.net.parameters())
        for key, tensor in _without_prefix("optimizer.", tensors).items():
            index, name = key.split(".")
            state.setdefault(int(index), {})[name] = _in_format_of(weights[int(index)], tensor)
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": state})
        return self

    def _moved_from(self, path: Path) -> str:
        try:
            before = read_metadata(path, "computed")
        except InputRefused:  # a file of an older version does not say it
            return ""
        if before == self._computed:
            return ""
        where = f"the finished epochs were computed on {before}, the next ones are on {self._computed}"
        return f"{where}: the weights equal those of one device up to rounding, not to the bit"


def _copy_weights(origin: UNet, net: UNet, *, head: bool) -> None:
    """Copy the tensors of `origin` into `net`; of the last layer only if `head`."""
    tensors = origin.state_dict()
    kept = {name: tensor for name, tensor in tensors.items() if head or not name.startswith("head.")}
    net.load_state_dict(kept, strict=head)


def _copied(tensor: Tensor) -> Tensor:
    """Copy a tensor to memory of its own on the CPU."""
    tensor = tensor.detach()
    return tensor.clone() if tensor.device.type == "cpu" else tensor.cpu()


def _standing(metrics: Metrics) -> tuple[float, float]:
    return standing(metrics.iou, metrics.accuracy)


def _in_format_of(weight: Tensor, state: Tensor) -> Tensor:
    """Copy `state` into the memory format of `weight`, as a fused optimiser requires; files do not store it."""
    return torch.empty_like(weight).copy_(state) if state.shape == weight.shape else state


def _without_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _fingerprint(config: TrainConfig, data: TrainingData, *, defaults: bool = False) -> str:
    """Hash what decides the result: config, contract, dataset and names of scenes.

    Paths do not count, because another attempt may download the files to another folder.

    defaults: Whether fields count that have their default, as they did in older files, which had no `_LATER` ones. They
        do not otherwise, because the next version of canemap may have a field more, and must go on with a training
        that runs.
    """
    dumped = config.model_dump_json(exclude=_LATER) if defaults else config.model_dump_json(exclude_defaults=True)
    parts = [dumped, data.contract.model_dump_json(exclude_defaults=not defaults)]
    parts.append(data.sha256)
    parts += [",".join(scene.name for scene in split) for split in (data.train, data.val, data.test)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
