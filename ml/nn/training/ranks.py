"""Ranks: processes that train one net together, each of which passes its share of every batch through the net.

Only the work of the net is divided. Every rank draws the same batch, and cuts and augments its share of it. BatchNorm
uses the statistics of the whole batch. The logits of all ranks are gathered, and every rank computes the loss of the
whole batch, because neither a mean over valid pixels nor a Lovász loss is a mean over shares of a batch. Each rank then
has the gradient of that loss through its share, and the sum over the ranks is the gradient. So all ranks update the
same weights by the same step. It is the step of a single process, except for the order in which numbers are added.

The ranks run on one machine. PyTorch's launcher (`torchrun`) starts them, and starts them again if one dies.
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
# The others wait as long for a rank that works alone, as at the final evaluation. The launcher notices a dead rank at
# once, without this timeout.
TIMEOUT = timedelta(days=1)
# In a step all ranks do the same work, between two meetings of their hosts: whoever waits longer for a GPU, waits for
# one that has stopped.
NCCL_TIMEOUT = timedelta(minutes=10)


@dataclass(frozen=True)
class Ranks:
    """This process among the `count` processes that train a net together.

    rank: Number of this process, from 0. Rank 0 writes files and the log.
    count: Number of ranks.
    launcher: Process id of the launcher that started this process; None if there is only one rank.
    """

    rank: int = 0
    count: int = 1
    launcher: int | None = None

    @property
    def first(self) -> bool:
        """Whether this process is rank 0."""
        return self.rank == 0

    def share(self, length: int) -> slice:
        """Return which of `length` items this rank has; the shares of all ranks, in their order, cover all items."""
        return slice(length * self.rank // self.count, length * (self.rank + 1) // self.count)

    def together(self, work: Callable[[], T]) -> list[T]:
        """Call `work` on every rank and return the results of all ranks, in their order. All ranks wait for each other.

        Raises:
            Stopped, InputRefused: on every rank, if `work` raised it on any rank.
            Stopped: on every rank, if the launcher is gone, so that no rank uses the folder when a new
                launcher starts.
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
        gathered: list[Any] = [None] * self.count
        dist.all_gather_object(gathered, (result, end))
        for _, end in gathered:
            if end is not None:
                raise end
        return [cast(T, result) for result, _ in gathered]

    def first_does(self, work: Callable[[], T]) -> T:
        """Call `work` on rank 0 and return its result on every rank; raises the same as `together`."""
        return cast(T, self.together(lambda: work() if self.first else None)[0])

    def whole(self, share: Tensor) -> Tensor:
        """Gather the batch (N, ...) from the shares (N / count, ...) of all ranks.

        Every rank must compute the same from the batch, because the gradient of `share` is cut out of the gradient of
        the batch on this rank alone.
        """
        return share if self.count == 1 else _gather(share, self, same_on_all=True)

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all ranks, in one exchange. All tensors have one dtype and device."""
        if self.count == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        for tensor, piece in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(piece.view_as(tensor))

    def synchronised(self, net: nn.Module) -> nn.Module:
        """Return the net to train: `net` itself for one rank, else a copy whose BatchNorm uses the batch of all ranks.

        The copy shares its tensors with `net`. `net` keeps its layers, so that it can be evaluated, folded and saved
        as usual.
        """
        if self.count == 1:
            return net
        shared = {id(tensor): tensor for tensor in (*net.parameters(), *net.buffers())}
        copied = copy.deepcopy(net, cast(dict[int, Any], shared))
        for block in list(copied.modules()):
            for name, layer in block.named_children():
                if isinstance(layer, nn.BatchNorm2d) and layer.training:  # frozen layers use no batch
                    setattr(block, name, _WholeBatchNorm(layer, self))
        return copied

    def faults(self, config: TrainConfig, device: torch.device) -> Iterator[Fault]:
        """Find what `config` asks for that this number of ranks cannot do on `device`."""
        if self.count == 1:
            return
        if config.batch_size % self.count:
            detail = f"A batch of {config.batch_size} chips cannot be divided equally among {self.count} processes."
            yield Fault("uneven_batch", detail, f"Set batch_size to a multiple of {self.count}.", "/batch_size")
        if config.compile:
            detail = "A net cannot be compiled if several processes share its BatchNorm."
            yield Fault("not_compiled", detail, "Leave out compile, or train in one process.", "/compile")
        if device.type == "cuda" and self.count > torch.cuda.device_count():
            detail = f"There are {self.count} processes, but only {torch.cuda.device_count()} GPUs."
            yield Fault("too_few_gpus", detail, "Start no more processes than there are GPUs.", "/device")


ALONE = Ranks()


@contextmanager
def joined() -> Iterator[Ranks]:
    """Connect this process to the other ranks that torch's launcher started; without a launcher there is one rank.

    Tensors on GPUs are exchanged through NCCL and everything else through gloo, so that messages between the ranks
    do not wait for a GPU.
    """
    if not dist.is_torchelastic_launched():
        yield ALONE
        return
    store, rank, count = next(rendezvous("env://", timeout=TIMEOUT))
    # The launcher keeps one store for all its attempts. Without a prefix, a new attempt would connect to the addresses
    # of dead processes (https://github.com/pytorch/pytorch/issues/135712).
    attempt = dist.PrefixStore(os.environ["TORCHELASTIC_RESTART_COUNT"], store)  # type: ignore[attr-defined]
    with connected(attempt, rank, count) as ranks:
        yield ranks


@contextmanager
def connected(store: Any, rank: int, count: int) -> Iterator[Ranks]:
    """Connect this process, as number `rank`, to the other ranks on this machine, through a store of torch's."""
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(rank % torch.cuda.device_count())
        backend = "cpu:gloo,cuda:nccl"
    for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):  # the name of a host may lead to nowhere in a container
        os.environ.setdefault(name, "lo")
    dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=TIMEOUT)
    if torch.cuda.is_available():
        _set_timeout(torch.device("cuda"), NCCL_TIMEOUT)
    yield Ranks(rank, count, os.getppid())
    dist.destroy_process_group()  # not after an exception: it would wait for the ranks that go on


def _set_timeout(device: torch.device, timeout: timedelta) -> None:
    """Set how long the ranks wait for each other in exchanges of tensors on `device`, and leave those of others."""
    cast(Any, dist.distributed_c10d._get_default_group())._get_backend(device)._set_default_timeout(timeout)


def refuse_ranks(work: str) -> None:
    """Refuse `work`, which only one process can do, if torch's launcher started this process.

    work: What is refused, as the subject of a sentence for the user.

    Raises:
        InputRefused: code `one_process`.
    """
    if dist.is_torchelastic_launched():
        raise InputRefused(Fault("one_process", f"{work} must run in one process.", "Start it without torchrun."))


class _WholeBatchNorm(nn.BatchNorm2d):
    """BatchNorm over a batch of which each rank has an equal share; it uses the tensors of the layer `like`.

    torch's own SyncBatchNorm works on GPUs only, and has the host wait for the GPU three times in each layer; here it
    never does. Mean and variance of the batch are pooled from the mean_r and
    variance_r of the equal shares (Chan, Golub, LeVeque 1979): mean = E[mean_r],
    variance = E[variance_r + (mean_r - mean)^2].
    """

    def __init__(self, like: nn.BatchNorm2d, ranks: Ranks) -> None:
        super().__init__(like.num_features, like.eps, like.momentum)
        self._ranks = ranks
        self.weight, self.bias = like.weight, like.bias
        self.running_mean, self.running_var = like.running_mean, like.running_var
        self.num_batches_tracked = like.num_batches_tracked

    def forward(self, image: Tensor) -> Tensor:
        """Normalise this rank's share (N / count, C, H, W), in any float dtype; statistics are computed in float32."""
        values = image.float()
        own = torch.stack(torch.var_mean(values, dim=(0, 2, 3), correction=0))
        variances, means = _gather(own[None], self._ranks, same_on_all=False).unbind(1)
        mean = means.mean(0)
        variance = (variances + (means - mean).square()).mean(0)
        self._update_running(mean.detach(), variance.detach(), self._ranks.count * values[:, 0].numel())
        scale = self.weight * (variance + self.eps).rsqrt()
        shift = self.bias - mean * scale
        # in one operation: only the image is stored for the gradient, as in torch's BatchNorm
        return torch.addcmul(shift[:, None, None], values, scale[:, None, None]).to(image.dtype)

    @torch.no_grad()
    def _update_running(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Update the running statistics by those of a batch with `count` values in each channel."""
        tracked = cast(Tensor, self.num_batches_tracked).add_(1)
        # of a plain mean over batches as a tensor, which the host need not wait for
        share = 1 / tracked.float() if self.momentum is None else self.momentum
        for running, now in ((self.running_mean, mean), (self.running_var, variance * (count / (count - 1)))):
            cast(Tensor, running).lerp_(now, share)


def _gather(share: Tensor, ranks: Ranks, *, same_on_all: bool) -> Tensor:
    return _Gather.apply(share, ranks, same_on_all)  # type: ignore[no-any-return, no-untyped-call]


class _Gather(torch.autograd.Function):
    """Concatenates the shares (n, ...) of all ranks to one tensor (count n, ...).

    Each rank computes something from that tensor. If all ranks compute the same, the gradient on each rank is already
    complete; otherwise it is summed over the ranks.
    """

    @staticmethod
    def forward(ctx: Any, share: Tensor, ranks: Ranks, same_on_all: bool) -> Tensor:
        ctx.ranks, ctx.same = ranks, same_on_all
        gathered = share.new_empty((ranks.count * len(share), *share.shape[1:]))
        dist.all_gather_single(gathered, share.contiguous())
        return gathered

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        if not ctx.same:
            gradient = gradient.clone(memory_format=torch.contiguous_format)
            dist.all_reduce(gradient)
        return gradient[ctx.ranks.share(len(gradient))], None, None
