"""Training: from labelled scenes to a checkpoint."""

import math
import platform
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ml.assess.metrics import Confusion, Metrics
from ml.checkpoint_header import CheckpointHeader
from ml.config import OptimizerConfig, TrainConfig
from ml.contract import Contract
from ml.data import LabelledScene, TrainingData
from ml.faults import Fault, InputRefused, refuse_any
from ml.model import Frozen
from ml.nn.augment import augment
from ml.nn.checkpoint import save_checkpoint
from ml.nn.chips import Batch, ChipSampler, cache_scene
from ml.nn.evaluate import Scores, evaluate
from ml.nn.inputs import choose_device, normalise
from ml.nn.losses import total_loss
from ml.nn.masks import training_faults
from ml.nn.run import Row, Run
from ml.nn.unet import UNet
from ml.progress import Progress, Watch, silent

Losses = dict[str, float]


class TrainResult(Frozen):
    """What a training leaves. model: the checkpoint of the best epoch.

    metrics: "val" of the best epoch, and "test", None without test scenes. test_blocks: the test split's confusion by
    blocks, for `ml.assess.area.adjusted_area`. best_epoch: from 1. epochs: trained in all. series: one row an epoch.
    """

    model: Path
    metrics: dict[str, Metrics | None]
    test_blocks: tuple[Confusion, ...]
    best_epoch: int
    epochs: int
    series: tuple[Row, ...]


def train(config: TrainConfig, data: TrainingData, out: Path, watch: Watch = silent) -> TrainResult:
    """Train a U-Net on `data.train`, keep the epoch with the best IoU on `data.val`, score it once on `data.test`.

    Writes `model.safetensors` into the folder `out`, and `resume.safetensors` after each epoch: the same call on the
    same `out` goes on after the last whole epoch and ends at the same weights, to the bit. `watch` hears of each step,
    and after each epoch of its row of the series (again after a resume); it may raise `Stopped`.

    Raises:
        InputRefused: nothing labelled, one class only, more than two classes, no GPU, a loss that is not finite.
    """
    device = choose_device(config.device)
    refuse_any([*_config_faults(config), *training_faults(data)])
    with _reproducible(), _chips_of(data.train, config, out / "scratch", watch) as sampler:
        run = Run(config, data, device).resume(out / "resume.safetensors")
        clock = _Clock(config, sampler, run, watch)
        for row in run.series:  # the attempt that measured it may have died before it could tell
            clock.tick(row)
        while clock.done < clock.total:
            started = time.monotonic()
            losses = _train_epoch(config, data.contract, sampler, run, clock)
            val = evaluate(run.net, data.contract, data.val, still_alive=clock.tick).metrics
            row = _row(len(run.series) + 1, losses, run.optimizer.param_groups[0]["lr"], val, started)
            run.finish_epoch(row, val)
            run.save(out / "resume.safetensors")
            clock.tick(row)
    run.net.load_state_dict(run.best)
    test = evaluate(run.net, data.contract, data.test, still_alive=clock.tick) if data.test else None
    return _finish(config, data.contract, run, test, out / "model.safetensors")


class _Clock:
    """Counts steps over the whole training and tells `watch`. done: of `total` steps."""

    def __init__(self, config: TrainConfig, sampler: ChipSampler, run: Run, watch: Watch) -> None:
        planned = config.epochs * sampler.steps
        self.total = min(planned, config.max_steps or planned)
        self.done = min(self.total, len(run.series) * sampler.steps)
        self._watch = watch

    def tick(self, row: Row | None = None) -> None:
        self._watch(Progress("train", self.done, self.total, values=row or {}))


def _train_epoch(config: TrainConfig, contract: Contract, sampler: ChipSampler, run: Run, clock: _Clock) -> Losses:
    """One pass of SGD over the chips of an epoch; the mean of the loss and of its parts over the steps."""
    run.net.train()
    sums: dict[str, Tensor] = {}
    steps = sampler.epoch(len(run.series))[: clock.total - clock.done]
    for places in steps:
        for group in run.optimizer.param_groups:
            group["lr"] = learning_rate(config.optimizer, clock.done / clock.total)
        losses = _losses(run.net, config, contract, sampler.cut(places), clock.done)
        run.optimizer.zero_grad()
        losses["loss"].backward()  # type: ignore[no-untyped-call]
        run.optimizer.step()
        sums = {name: sums.get(name, 0) + loss.detach() for name, loss in losses.items()}
        clock.done += 1
        clock.tick()
    return _finite({name: float(loss) / len(steps) for name, loss in sums.items()})


def _losses(net: UNet, config: TrainConfig, contract: Contract, batch: Batch, step: int) -> dict[str, Tensor]:
    """The loss of a batch, with its graph, as "loss", and its parts as "loss_..."."""
    device = next(net.parameters()).device
    image, valid, mask = (tensor.to(device, non_blocking=True) for tensor in batch)
    seed = np.random.SeedSequence((config.seed, step)).generate_state(1, np.uint64)
    generator = torch.Generator(device).manual_seed(int(seed[0]))
    image, mask = augment(normalise(image, valid, contract.statistics), mask, config.augment, generator)
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        logits = net(image)
    loss, parts = total_loss(config.loss, logits.float(), mask[:, None])
    return {"loss": loss} | {f"loss_{name}": part for name, part in parts.items()}


def learning_rate(config: OptimizerConfig, t: float) -> float:
    """The learning rate when the share t in [0, 1) of all steps is done."""
    if config.schedule == "poly":
        return config.lr * math.pow(1 - t, 0.9)
    return config.lr * (1 + math.cos(math.pi * t)) / 2 if config.schedule == "cosine" else config.lr


def _row(epoch: int, losses: Losses, lr: float, val: Metrics, started: float) -> Row:
    return {
        "epoch": epoch,
        "loss": losses["loss"],
        "loss_ce": losses.get("loss_ce"),
        "loss_lovasz_hinge": losses.get("loss_lovasz_hinge"),
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


def _config_faults(config: TrainConfig) -> Iterator[Fault]:
    if config.batch_size == 1 and config.chip_size == 2**config.net.depth:
        detail = "One chip of 2^depth pixels leaves BatchNorm a single value a channel, of which there is no variance."
        yield Fault("chip_too_small", detail, "Raise batch_size or chip_size, or lower net.depth.", "/chip_size")


def _finish(config: TrainConfig, contract: Contract, run: Run, test: Scores | None, model: Path) -> TrainResult:
    metrics = {"val": run.best_metrics, "test": test.metrics if test else None}
    test_blocks = test.blocks if test else ()
    versions = {"canemap": version("canemap"), "torch": torch.__version__, "python": platform.python_version()}
    header = CheckpointHeader(
        contract=contract,
        config=config,
        **metrics,
        test_blocks=test_blocks,
        best_epoch=run.best_epoch,
        versions=versions,
    )
    save_checkpoint(model, run.best, header)
    return TrainResult(
        model=model,
        metrics=metrics,
        test_blocks=test_blocks,
        best_epoch=run.best_epoch,
        epochs=len(run.series),
        series=tuple(run.series),
    )


@contextmanager
def _chips_of(
    scenes: tuple[LabelledScene, ...], config: TrainConfig, scratch: Path, watch: Watch
) -> Iterator[ChipSampler]:
    """A sampler over `scenes`, decoded into the folder `scratch`, which is removed at the end."""
    shutil.rmtree(scratch, ignore_errors=True)  # of an attempt that was killed
    try:
        cached = []
        for number, scene in enumerate(scenes):
            cached.append(cache_scene(scene, scratch / str(number)))
            watch(Progress("decode", number + 1, len(scenes), scene.name))
        yield ChipSampler(cached, config)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def _reproducible() -> Iterator[None]:
    """Deterministic algorithms only; where a device lacks one torch warns."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
