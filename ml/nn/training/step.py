"""One step of a training: it computes a gradient from batches and updates the weights, without waiting for a GPU."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from ml.config import LossConfig, TrainConfig
from ml.contract import Contract
from ml.nn.normalise import normalise
from ml.nn.prediction.prefetch import prefetched
from ml.nn.training.augment import augment
from ml.nn.training.chips import Batch, ChipPosition, ChipSampler
from ml.nn.training.execution import Execution
from ml.nn.training.losses import total_loss
from ml.nn.training.state import TrainingState

AHEAD, THREADS = 4, 2  # largest number of batches that are ready ahead, and number of threads that cut them


class StageTimer:
    """Measures the time of each stage since the last call of `line`, in seconds of the host.

    It does not wait for a GPU, so the time of the GPU's work counts in the stage in which the host needs a result.
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
        """Return a line of text with the share of each stage in the time that has passed, and start again from zero.

        The stages stand in the order in which they first occurred; "other" is the time in no stage.
        """
        total = time.perf_counter() - self._started
        shares = self._seconds | {"other": total - sum(self._seconds.values())}
        text = ", ".join(f"{name} {seconds / total:.1%}" for name, seconds in shares.items())
        self._start()
        return f"time {total:.3g} s: {text}"

    def _start(self) -> None:
        self._started = time.perf_counter()
        self._seconds: dict[str, float] = {}


class Stepper:
    """Updates the weights of a training step by step.

    stages: Times of the stages of the steps.
    """

    def __init__(self, config: TrainConfig, contract: Contract, state: TrainingState, execution: Execution) -> None:
        self.stages = StageTimer()
        self._config, self._contract, self._execution = config, contract, execution
        self._state, self._optimizer, self._ranks = state, state.optimizer, execution.ranks
        self._weights = list(state.net.parameters())
        net = self._ranks.synchronised(state.net)
        self._batch_norms = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]
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
        """Cut this rank's shares of the batches of `steps` in threads, ahead of use; the threads end with the context.

        steps: Positions of the chips of each step.
        """
        size = self._config.batch_size
        batches = (step[start : start + size] for step in steps for start in range(0, len(step), size))
        shares = (batch[self._ranks.share(size)] for batch in batches)
        return prefetched(partial(_cut, sampler, self._execution.device), shares, ahead=AHEAD, threads=THREADS)

    def step(
        self,
        batches: Iterator[Batch],
        number: int,
        lr: float,
        check_stop: Callable[[], None],
        loss: LossConfig | None = None,
    ) -> None:
        """Take the next `accumulate` batches and update the weights by the mean of their gradients, over all ranks.

        batches: This rank's shares of the batches.
        number: Number of this step in the whole training, from 0; with the seed it decides the augmentation.
        lr: Learning rate.
        check_stop: Called between two batches; may raise `Stopped`.
        loss: Weights of the parts of the loss; None means those of the config.
        """
        weights = loss or _loss(self._config)
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        self._optimizer.zero_grad()
        for index in range(self._config.accumulate):
            if index:
                check_stop()
            with self.stages("wait"):
                batch = next(batches)
            self._add_gradient(batch, number * self._config.accumulate + index, weights)
        with self.stages("optimiser"):
            self._ranks.add_up([weight.grad for weight in self._weights if weight.grad is not None])
            self._optimizer.step()
            self._state.add_to_average(number)

    @torch.no_grad()
    def measure_batch_norm(self, batches: Iterator[Batch], number: int, check_stop: Callable[[], None]) -> None:
        """Replace the statistics of BatchNorm by their means over `batches`, for weights that no step has made.

        No step can follow.

        batches: This rank's shares of the batches.
        number: Number of the first batch in the whole training, from 0; with the seed it decides the augmentation.
        check_stop: Called after each batch; may raise `Stopped`.
        """
        for layer in self._batch_norms:
            if not layer.training:
                continue  # a frozen layer keeps its statistics
            layer.reset_running_stats()
            layer.momentum = None  # so that all batches count alike
        for index, batch in enumerate(batches):
            image, _ = self._prepare(batch, number + index)
            with self._autocast():
                self._net(image)
            check_stop()

    def losses(self) -> dict[str, float]:
        """Return the means of the loss, "loss", and of its terms, "loss_...", over all batches since the last call."""
        means = {name: float(total) / self._count for name, total in self._sums.items()}
        self._sums, self._count = {}, 0
        return means

    def _add_gradient(self, batch: Batch, number: int, weights: LossConfig) -> None:
        """Add the gradient of the loss of `batch`, divided by `accumulate`, to the gradients of the weights.

        number: Number of the batch in the whole training, from 0.
        """
        with self.stages("prepare"):
            image, labels = self._prepare(batch, number)
        with self.stages("forward"), self._autocast():
            logits = self._net(image)
        with self.stages("loss"):
            logits, labels = self._ranks.whole(logits.float()), self._ranks.whole(labels)
            loss, terms = total_loss(weights, logits, labels)
        with self.stages("backward"):
            (loss / self._config.accumulate).backward()  # type: ignore[no-untyped-call]
        self._add_losses({"loss": loss.detach()} | {f"loss_{name}": term for name, term in terms.items()})

    def _prepare(self, batch: Batch, number: int) -> tuple[Tensor, Tensor]:
        """Copy a batch to the net's device, normalise and augment it; return the image and the class indices."""
        some_fixed = bool(batch.fixed.any())  # read on the host, so that it does not wait for the device
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
        """Copy `batch` to the device; a GPU copies it while it still computes the batch before."""
        with torch.cuda.stream(self._copies):
            copied = Batch(*(tensor.to(self._execution.device, non_blocking=True) for tensor in batch))
        if self._copies is not None:
            current = torch.cuda.current_stream(self._execution.device)
            current.wait_stream(self._copies)
            for tensor in copied:
                tensor.record_stream(current)
        return copied

    def _autocast(self) -> torch.autocast:
        dtype = self._execution.precision.dtype
        return torch.autocast(self._execution.device.type, torch.bfloat16, enabled=dtype == torch.bfloat16)

    def _add_losses(self, losses: dict[str, Tensor]) -> None:
        self._sums = {name: self._sums.get(name, 0) + loss for name, loss in losses.items()}
        self._count += 1


def _cut(sampler: ChipSampler, device: torch.device, positions: Sequence[ChipPosition]) -> Batch:
    """Cut the chips at `positions`; for a GPU into pinned memory, from which it copies while it computes."""
    batch = sampler.cut(positions)
    return batch if device.type == "cpu" else Batch(*(tensor.pin_memory() for tensor in batch))


def _loss(config: TrainConfig) -> LossConfig:
    if config.loss is None:
        raise ValueError("the config has no loss: call TrainConfig.for_classes first")
    return config.loss
