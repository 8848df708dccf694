"""Processes that train one net together, its ranks: each takes its part of every batch through the net.

Only the net's work is divided. Each rank draws the same batch, and cuts and augments its part of it. The net's
BatchNorms measure the whole batch. The logits of all are gathered, and every rank computes the one loss of the whole
batch, because neither a mean over valid pixels nor a Lovász loss is a mean over parts. What the ranks then have are the
gradients of that loss by way of their parts; their sum is the gradient. So all of them move the same weights by the
same step: the one that a single process would make, but for the order in which numbers are added.

The ranks are started, and after a death started again, by torch's launcher (`torchrun`), on one machine.
"""

import copy
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.rendezvous import rendezvous

from ml.config import TrainConfig
from ml.faults import Fault, InputRefused
from ml.progress import Stopped

T = TypeVar("T")
# for one that works on what is its alone, like the last assessment; the launcher sees at once when one has died
PATIENCE = timedelta(days=1)


@dataclass(frozen=True)
class Ranks:
    """This process among `count` that train together. rank: its number, from 0; the first one writes files and log.

    launcher: the id of the process that started it.
    """

    rank: int = 0
    count: int = 1
    launcher: int | None = None

    @property
    def first(self) -> bool:
        return self.rank == 0

    def part(self, length: int) -> slice:
        """Which of `length` things are this rank's; the parts of all ranks, one after the other, are all of them."""
        return slice(length * self.rank // self.count, length * (self.rank + 1) // self.count)

    def together(self, work: Callable[[], T]) -> list[T]:
        """What `work` gives on each rank, in their order; all ranks wait here for each other.

        Raises:
            Stopped, InputRefused: on every rank, if `work` raised it on any.
            Stopped: on every rank, if the launcher is gone: whoever starts it again must find the folder free.
        """
        if self.count == 1:
            return [work()]
        end: Stopped | InputRefused | None = None
        result: T | None = None
        try:
            if os.getppid() != self.launcher:
                raise Stopped
            result = work()
        except (Stopped, InputRefused) as raised:
            end = raised
        told: list[Any] = [None] * self.count
        dist.all_gather_object(told, (result, end))
        for _, end in told:
            if end is not None:
                raise end
        return [cast(T, result) for result, _ in told]

    def first_does(self, work: Callable[[], T]) -> T:
        """What `work` gives on the first rank, for all; raises as `together`."""
        return cast(T, self.together(lambda: work() if self.first else None)[0])

    def whole(self, part: Tensor) -> Tensor:
        """The batch (N, ...) of which each rank has its part (N / count, ...).

        Its gradient goes to the part as it is: every rank must compute the same of the batch.
        """
        return part if self.count == 1 else _gather(part, self, everyone_computes_the_same=True)

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Make each tensor the sum of what all ranks have of it, in one exchange; all of one dtype and device."""
        if self.count == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        for tensor, piece in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(piece.view_as(tensor))

    def in_step(self, net: nn.Module, device: torch.device) -> nn.Module:
        """`net`, or a double that shares its tensors and whose BatchNorms measure the batch of all ranks, to train.

        A double, so that what evaluates, folds and saves `net` never meets another kind of layer.
        """
        if self.count == 1:
            return net
        shared = {id(tensor): tensor for tensor in (*net.parameters(), *net.buffers())}
        double = copy.deepcopy(net, cast(dict[int, Any], shared))
        if device.type == "cuda":
            return cast(nn.Module, nn.SyncBatchNorm.convert_sync_batchnorm(double))  # type: ignore[no-untyped-call]
        for block in list(double.modules()):
            for name, layer in block.named_children():
                if isinstance(layer, nn.BatchNorm2d):
                    setattr(block, name, _WholeBatchNorm(layer, self))
        return double

    def faults(self, config: TrainConfig, device: torch.device) -> Iterator[Fault]:
        """What in `config` so many ranks cannot do."""
        if self.count == 1:
            return
        if config.batch_size % self.count:
            detail = f"A batch of {config.batch_size} chips has no equal parts for {self.count} processes."
            yield Fault("uneven_batch", detail, f"Take a multiple of {self.count} as batch_size.", "/batch_size")
        if config.compile:
            detail = "BatchNorm over several processes cannot be compiled."
            yield Fault("not_compiled", detail, "Leave compile out, or train in one process.", "/compile")
        if device.type == "cuda" and self.count > torch.cuda.device_count():
            detail = f"{self.count} processes have {torch.cuda.device_count()} GPUs."
            yield Fault("too_few_gpus", detail, "Start as many processes as there are GPUs.", "/device")


ALONE = Ranks()


@contextmanager
def joined() -> Iterator[Ranks]:
    """This process as torch's launcher started it, joined to the others; alone where no launcher did.

    GPUs talk through NCCL, everything else through gloo: to hear that all go on, nobody waits for a device.
    """
    if not dist.is_torchelastic_launched():
        yield ALONE
        return
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(dist.get_node_local_rank() % torch.cuda.device_count())
        backend = "cpu:gloo,cuda:nccl"
    store, rank, count = next(rendezvous("env://", timeout=PATIENCE))
    # The launcher keeps one store for all its attempts: unmarked, a new one would call at the addresses of the dead
    # (https://github.com/pytorch/pytorch/issues/135712).
    attempt = dist.PrefixStore(os.environ["TORCHELASTIC_RESTART_COUNT"], store)  # type: ignore[attr-defined]
    dist.init_process_group(backend, store=attempt, rank=rank, world_size=count, timeout=PATIENCE)
    yield Ranks(rank, count, os.getppid())
    dist.destroy_process_group()  # not after an exception: it would wait for those who do not leave too


def refuse_ranks(work: str) -> None:
    """Refuse to do `work`, which knows one process only, in each of several.

    Raises:
        InputRefused: code `one_process`.
    """
    if dist.is_torchelastic_launched():
        raise InputRefused(Fault("one_process", f"{work} is done by one process.", "Start it without torchrun."))


class _WholeBatchNorm(nn.BatchNorm2d):
    """BatchNorm of a batch of which each rank has an equal part; the tensors are those of `like`.

    torch's own SyncBatchNorm is for GPUs. Mean and variance of the whole are those of equal parts pooled (Chan, Golub,
    LeVeque 1979): mean = E[mean_r], variance = E[variance_r + (mean_r - mean)^2].
    """

    def __init__(self, like: nn.BatchNorm2d, ranks: Ranks) -> None:
        super().__init__(like.num_features, like.eps, like.momentum)
        self._ranks = ranks
        self.weight, self.bias = like.weight, like.bias
        self.running_mean, self.running_var = like.running_mean, like.running_var
        self.num_batches_tracked = like.num_batches_tracked

    def forward(self, image: Tensor) -> Tensor:
        """Of (N / count, C, H, W), in any float dtype; statistics are float32."""
        values = image.float()
        own = torch.stack(torch.var_mean(values, dim=(0, 2, 3), correction=0))
        variances, means = _gather(own[None], self._ranks, everyone_computes_the_same=False).unbind(1)
        mean = means.mean(0)
        variance = (variances + (means - mean).square()).mean(0)
        self._remember(mean.detach(), variance.detach(), self._ranks.count * values[:, 0].numel())
        scale = self.weight * (variance + self.eps).rsqrt()
        shift = self.bias - mean * scale
        # as one product and sum: what is kept for the gradient is the image, no more than BatchNorm itself keeps
        return torch.addcmul(shift[:, None, None], values, scale[:, None, None]).to(image.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Move the running statistics towards those of a batch of `count` values a channel."""
        for running, now in ((self.running_mean, mean), (self.running_var, variance * (count / (count - 1)))):
            cast(Tensor, running).lerp_(now, cast(float, self.momentum))
        cast(Tensor, self.num_batches_tracked).add_(1)


def _gather(part: Tensor, ranks: Ranks, *, everyone_computes_the_same: bool) -> Tensor:
    return _Gather.apply(part, ranks, everyone_computes_the_same)  # type: ignore[no-any-return, no-untyped-call]


class _Gather(torch.autograd.Function):
    """The parts (n, ...) of all ranks as one tensor (count n, ...).

    Each rank computes something of it. If that is the same on all, each has the gradient already; else it is the sum.
    """

    @staticmethod
    def forward(ctx: Any, part: Tensor, ranks: Ranks, everyone_computes_the_same: bool) -> Tensor:
        ctx.ranks, ctx.same = ranks, everyone_computes_the_same
        gathered = part.new_empty((ranks.count * len(part), *part.shape[1:]))
        dist.all_gather_single(gathered, part.contiguous())
        return gathered

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        if not ctx.same:
            gradient = gradient.clone(memory_format=torch.contiguous_format)
            dist.all_reduce(gradient)
        return gradient[ctx.ranks.part(len(gradient))], None, None
