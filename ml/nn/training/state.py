"""The state of a training between two epochs, on disk after each: what makes an interruption leave no trace."""

import hashlib
from pathlib import Path
from typing import Self

import torch
from pydantic import ValidationError
from torch import Tensor

from ml.checkpoint_header import read_metadata
from ml.config import OptimizerConfig, TrainConfig
from ml.data import TrainingData
from ml.evaluation.metrics import Metrics
from ml.faults import InputRefused
from ml.frozen import Frozen
from ml.nn.checkpoint import load_tensors, save_tensors
from ml.nn.training.execution import Execution
from ml.nn.unet import UNet, make_net

EpochRow = dict[str, float | int | None]


class _Kept(Frozen):
    """What is written beside the tensors. job: fingerprint of config and data."""

    job: str
    series: tuple[EpochRow, ...]
    best_epoch: int
    best_metrics: Metrics | None


class TrainingState:
    """A training as it stands after `len(series)` epochs.

    series: one row an epoch. best: the net's tensors after `best_epoch` (from 1; 0 = none yet), the epoch whose
    `best_metrics` have the highest IoU so far; of equals the first.
    """

    def __init__(self, config: TrainConfig, data: TrainingData, execution: Execution) -> None:
        self._job = _fingerprint(config, data)
        gpus = [execution.device] if execution.device.type == "cuda" else []  # leave those of other processes alone
        with torch.random.fork_rng(gpus):
            torch.manual_seed(config.seed)
            net = make_net(data.contract, config.net).to(execution.device)
        self.net: UNet = net.to(memory_format=execution.memory_format)  # type: ignore[call-overload]
        self.optimizer = _optimizer(config.optimizer, self.net, fused=execution.fused)
        self.series: list[EpochRow] = []
        self.best: dict[str, Tensor] = {}
        self.best_epoch = 0
        self.best_metrics: Metrics | None = None

    def finish_epoch(self, row: EpochRow, val: Metrics) -> None:
        """Add an epoch's `row` to the series, and keep the net if its metrics on the val split are the best."""
        self.series.append(row)
        if self.best_metrics is None or _iou(val) > _iou(self.best_metrics):
            self.best_epoch, self.best_metrics = len(self.series), val
            self.best = {name: tensor.detach().cpu().clone() for name, tensor in self.net.state_dict().items()}

    def save(self, path: Path) -> None:
        """Write everything to `path`, whole or not at all."""
        kept = _Kept(
            job=self._job, series=tuple(self.series), best_epoch=self.best_epoch, best_metrics=self.best_metrics
        )
        tensors = {f"net.{name}": tensor for name, tensor in self.net.state_dict().items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        tensors |= {
            f"optimizer.{index}.{name}": tensor
            for index, state in self.optimizer.state_dict()["state"].items()
            for name, tensor in state.items()
            if tensor is not None
        }
        save_tensors(path, tensors, {"run": kept.model_dump_json()})

    def resume(self, path: Path) -> Self:
        """Become the run that `path` holds; if it is not there, damaged or of other config or data, stay as it is."""
        try:
            kept, tensors = _Kept.model_validate_json(read_metadata(path, "run")), load_tensors(path)
        except (FileNotFoundError, ValidationError, InputRefused):
            return self
        if kept.job != self._job:
            return self
        self.series, self.best_epoch, self.best_metrics = list(kept.series), kept.best_epoch, kept.best_metrics
        self.net.load_state_dict(_under("net.", tensors))
        self.best = _under("best.", tensors)
        state: dict[int, dict[str, Tensor]] = {}
        weights = list(self.net.parameters())
        for key, tensor in _under("optimizer.", tensors).items():
            index, name = key.split(".")
            state.setdefault(int(index), {})[name] = _laid_out_like(weights[int(index)], tensor)
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": state})
        return self


def _iou(metrics: Metrics) -> float:
    """IoU of class 1; where it is undefined, worse than any other."""
    return -1.0 if metrics.iou is None else metrics.iou


def _laid_out_like(weight: Tensor, state: Tensor) -> Tensor:
    """`state` in the memory format of its weight, which a fused optimiser demands; files know one format only."""
    return torch.empty_like(weight).copy_(state) if state.shape == weight.shape else state


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _fingerprint(config: TrainConfig, data: TrainingData) -> str:
    """Of what decides the result; file names do not, since another attempt may fetch the files to another place."""
    parts = [config.model_dump_json(), data.contract.model_dump_json(), data.sha256]
    parts += [",".join(scene.name for scene in split) for split in (data.train, data.val, data.test)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _optimizer(config: OptimizerConfig, net: UNet, *, fused: bool) -> torch.optim.Optimizer:
    weights, decay = net.parameters(), config.weight_decay
    if config.name == "sgd":
        return torch.optim.SGD(weights, config.lr, momentum=config.momentum, weight_decay=decay, fused=fused)
    return torch.optim.AdamW(weights, config.lr, betas=(config.momentum, 0.999), weight_decay=decay, fused=fused)
