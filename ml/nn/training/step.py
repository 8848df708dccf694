"""One step of a training: batches to a gradient, the gradient to new weights. Nothing here waits for the device."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ml.config import LossConfig, TrainConfig
from ml.contract import Contract
from ml.nn.normalise import normalise
from ml.nn.prediction.prefetch import prefetched
from ml.nn.training.augment import augment
from ml.nn.training.chips import Batch, ChipPosition, ChipSampler
from ml.nn.training.execution import Execution
from ml.nn.training.losses import total_loss
from ml.nn.training.state import TrainingState

AHEAD, THREADS = 4, 2  # batches that wait for the net at most, and who cuts them


class StageTimer:
    """Seconds by stage since the last `line`.

    They are the host's: a GPU is not waited for, so its work shows where the host next needs a result.
    """

    def __init__(self) -> None:
        self._start()

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Add the time of the block to the stage `name`; stages must not be nested."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - started

    def line(self) -> str:
        """The share of each stage in the time that has passed, in the order they came; begins anew."""
        total = time.perf_counter() - self._started
        shares = self._seconds | {"other": total - sum(self._seconds.values())}
        text = ", ".join(f"{name} {seconds / total:.1%}" for name, seconds in shares.items())
        self._start()
        return f"time {total:.3g} s: {text}"

    def _start(self) -> None:
        self._started = time.perf_counter()
        self._seconds: dict[str, float] = {}


class Stepper:
    """Moves the weights of a run. stages: where the time of its steps goes."""

    def __init__(self, config: TrainConfig, contract: Contract, run: TrainingState, execution: Execution) -> None:
        self.stages = StageTimer()
        self._config, self._contract, self._execution = config, contract, execution
        self._optimizer, self._ranks = run.optimizer, execution.ranks
        self._weights = list(run.net.parameters())
        net = self._ranks.in_step(run.net, execution.device)
        self._net: Callable[[Tensor], Tensor] = torch.compile(net) if execution.compile else net
        self._copies = (
            torch.cuda.Stream(execution.device)  # type: ignore[no-untyped-call]
            if execution.device.type == "cuda"
            else None
        )
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def batches(
        self, sampler: ChipSampler, steps: Sequence[Sequence[ChipPosition]]
    ) -> AbstractContextManager[Iterator[Batch]]:
        """This rank's parts of the batches of `steps`, cut ahead by threads that end with the context."""
        size = self._config.batch_size
        batches = (step[start : start + size] for step in steps for start in range(0, len(step), size))
        parts = (batch[self._ranks.part(size)] for batch in batches)
        return prefetched(partial(_cut, sampler, self._execution.device), parts, ahead=AHEAD, threads=THREADS)

    def step(self, batches: Iterator[Batch], number: int, lr: float, check_stop: Callable[[], None]) -> None:
        """Take `accumulate` of `batches` and move the weights by the mean of their gradients, those of all ranks.

        number: of steps before this one in the whole training; with the seed it decides the augmentation. lr: learning
        rate. check_stop: called between two batches, may raise `Stopped`.
        """
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        self._optimizer.zero_grad()
        for part in range(self._config.accumulate):
            if part:
                check_stop()
            with self.stages("wait"):
                batch = next(batches)
            self._add_gradient(batch, number * self._config.accumulate + part)
        with self.stages("optimiser"):
            self._ranks.add_up([weight.grad for weight in self._weights if weight.grad is not None])
            self._optimizer.step()

    def losses(self) -> dict[str, float]:
        """The mean of the loss, "loss", and of its parts, "loss_...", over all batches since the last call."""
        means = {name: float(total) / self._count for name, total in self._sums.items()}
        self._sums, self._count = {}, 0
        return means

    def _add_gradient(self, batch: Batch, number: int) -> None:
        """Add the gradient of a batch's loss, the `number`th of the training, to that of the weights."""
        with self.stages("prepare"):
            image, labels = self._prepare(batch, number)
        with self.stages("forward"), self._autocast():
            logits = self._net(image)
        with self.stages("loss"):
            logits, labels = self._ranks.whole(logits.float()), self._ranks.whole(labels)
            loss, parts = total_loss(_loss(self._config), logits, labels)
        with self.stages("backward"):
            (loss / self._config.accumulate).backward()  # type: ignore[no-untyped-call]
        self._note({"loss": loss.detach()} | {f"loss_{name}": part for name, part in parts.items()})

    def _prepare(self, batch: Batch, number: int) -> tuple[Tensor, Tensor]:
        """A batch on the net's device, normalised and augmented: image and labels."""
        some_fixed = bool(batch.fixed.any())  # asked of the host, not of the device
        device, memory_format = self._execution.device, self._execution.memory_format
        image, valid, mask, fixed = self._copied(batch)
        image = normalise(image.to(torch.float32, memory_format=memory_format), valid, self._contract.statistics)
        seed = np.random.SeedSequence((self._config.seed, number)).generate_state(1, np.uint64)
        generator = torch.Generator(device).manual_seed(int(seed[0]))
        moved, labels = augment(image, mask, self._config.augment, generator, self._ranks)
        if some_fixed:
            moved = torch.where(fixed[:, None, None, None], image, moved)
            labels = torch.where(fixed[:, None, None], mask, labels)
        return moved.contiguous(memory_format=memory_format), labels

    def _copied(self, batch: Batch) -> Batch:
        """`batch` on the device; on a GPU copied while it still works on the batch before."""
        with torch.cuda.stream(self._copies):
            copied = Batch(*(tensor.to(self._execution.device, non_blocking=True) for tensor in batch))
        if self._copies is not None:
            current = torch.cuda.current_stream(self._execution.device)
            current.wait_stream(self._copies)
            for tensor in copied:
                tensor.record_stream(current)
        return copied

    def _autocast(self) -> torch.autocast:
        precision = self._execution.precision
        return torch.autocast(self._execution.device.type, torch.bfloat16, enabled=precision == torch.bfloat16)

    def _note(self, losses: dict[str, Tensor]) -> None:
        self._sums = {name: self._sums.get(name, 0) + loss for name, loss in losses.items()}
        self._count += 1


def _cut(sampler: ChipSampler, device: torch.device, places: Sequence[ChipPosition]) -> Batch:
    """The chips at `places`; for a GPU in pinned memory, from which it copies while it computes."""
    batch = sampler.cut(places)
    return batch if device.type == "cpu" else Batch(*(tensor.pin_memory() for tensor in batch))


def _loss(config: TrainConfig) -> LossConfig:
    if config.loss is None:
        raise ValueError("the loss is chosen by TrainConfig.for_classes")
    return config.loss
