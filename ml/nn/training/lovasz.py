"""The Lovász extension of the Jaccard loss of one class, with its gradient: exact, and as fast as its one sort.

The errors are sorted decreasingly and each is weighted by how much the Jaccard loss of the mispredicted set grows when
its pixel joins (Berman et al. 2018, arXiv:1705.08790, algorithm 1). In closed form: with P positives in all, and p
positives and n negatives ranked before it, a positive's weight is 1 / (P + n) and a negative's
(P - p) / ((P + n) (P + n + 1)); with P = 0 the worst pixel has weight 1. The loss is piecewise linear: the weights are
its gradient. An error of 0 adds nothing and a weight depends only on what is ranked before it, so dropping what is not
positive BEFORE the sort is exact, and saves most of the work once the net has learnt something. Equal errors rank by
their places.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from ml.contract import UNLABELLED

_BLOCK = 1 << 15  # pixels: what is made of a block stays in a core's cache, which halves the time
_MAX_KEYED = 1 << 30  # pixels: a place must fit in 31 bits, and the size of a union in an int32
_FLIP = 0x7FFFFFFF  # turns the bits of positive floats into integers that order the other way round


@dataclass(frozen=True)
class Task:
    """One class: what counts as an error. margin: 1 for scores > 0 meaning the class (the hinge), 0 for probabilities.

    The error of a pixel is 1 - score where its target is `label`, else margin + score; where it is 255, 0.
    row: where the scores of the class stand.
    """

    row: int
    label: int
    margin: int


def mean_lovasz_extension(scores: Tensor, target: Tensor, tasks: Sequence[Task]) -> Tensor:
    """The mean over the tasks (at least one) of the Lovász extension of the Jaccard loss at the positive errors.

    scores: floats (R, N), of whose dtype the loss is. target: integers (N,). NaN is the largest error, and shows in the
    loss.
    """
    return _MeanExtension.apply(scores, target, tasks)  # type: ignore[no-any-return, no-untyped-call]


class _MeanExtension(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, target: Tensor, tasks: Sequence[Task]) -> Tensor:
        keyed = scores.device.type == "cpu" and scores.dtype == torch.float32 and len(target) < _MAX_KEYED
        solve = _by_keys if keyed else _by_torch
        losses, places, slopes = zip(*(solve(scores[task.row], target, task) for task in tasks), strict=True)
        ctx.save_for_backward(*places, *slopes)
        ctx.shape, ctx.rows = scores.shape, [task.row for task in tasks]
        return torch.as_tensor(sum(losses) / len(tasks), dtype=scores.dtype, device=scores.device)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        count = len(ctx.rows)
        gradient = gradient / count
        places, slopes = ctx.saved_tensors[:count], ctx.saved_tensors[count:]
        dense = gradient.new_zeros(ctx.shape)
        for row, where, slope in zip(ctx.rows, places, slopes, strict=True):
            dense[row].index_copy_(0, where, gradient * slope)  # faster than `scatter_`
        return dense, None, None


def _by_torch(scores: Tensor, target: Tensor, task: Task) -> tuple[Tensor, Tensor, Tensor]:
    """Loss (), places int64 (E,) of the positive errors from large to small, and slopes (E,) of the loss there.

    scores: (N,). target: (N,). For every device and dtype; the one wait for a device is for E.
    """
    counted = target != UNLABELLED
    positive = (target == task.label) & counted
    errors = torch.where(positive, 1 - scores, task.margin + scores)
    wrong = (~(errors <= 0) & counted).nonzero().squeeze(1)
    ranked, order = errors[wrong].sort(descending=True, stable=True)
    places = wrong[order]
    truth = positive[places]
    growth = _growth(truth, positive.count_nonzero())
    slopes = torch.where(truth, -growth, growth)
    return (growth * ranked).sum().to(scores.dtype), places, slopes.to(scores.dtype)


def _growth(truth: Tensor, positives: Tensor) -> Tensor:
    """How much the Jaccard loss grows with each pixel, taken in the given order: float64 (E,) from exact counts.

    truth: bool (E,). positives: int64 (), of all pixels.
    """
    p = truth.cumsum(0)  # this pixel counted in
    union = (positives + torch.arange(1, len(truth) + 1, device=truth.device) - p).double()
    growth = torch.where(truth, 1, (positives - p) / (union - 1).clamp(min=1)) / union
    return torch.where(~truth & (union == 1), 1, growth)  # the first of all where P = 0


def _by_keys(scores: Tensor, target: Tensor, task: Task) -> tuple[float, Tensor, Tensor]:
    """What `_by_torch` gives, for float32 (N,) on a CPU.

    One sort of 64-bit keys (error bits, place, truth) does it all: positive floats order like their bits, and numpy's
    vectorised sort is several times faster than an indirect one with its gathering.
    """
    keys, positives = _keys(scores.detach().numpy(), target.numpy(), task)
    keys.sort()
    slopes = np.empty(len(keys), dtype=np.float32)
    loss, p = 0.0, 0
    with np.errstate(invalid="ignore"):  # what is infinite or no number shows in the loss
        for start in range(0, len(keys), _BLOCK):
            block = keys[start : start + _BLOCK]
            truth = (block & 1).astype(np.float32)
            errors = ((block >> 32).astype(np.int32) ^ _FLIP).view(np.float32)
            growth = _block_growth(truth, positives, start, p)
            np.copysign(growth, 0.5 - truth, out=slopes[start : start + _BLOCK])
            loss += float((growth * errors).sum())
            p += int(np.count_nonzero(truth))
            block &= 0xFFFFFFFF
            block >>= 1  # the place remains
    return loss, torch.from_numpy(keys), torch.from_numpy(slopes)


def _keys(scores: NDArray[np.float32], target: NDArray[Any], task: Task) -> tuple[NDArray[np.int64], int]:
    """A key for each positive error, the largest error the smallest key; and how many pixels are positive."""
    keys = np.empty(len(scores), dtype=np.int64)
    found = positives = 0
    for start in range(0, len(scores), _BLOCK):
        here = slice(start, start + _BLOCK)
        truth = target[here] == task.label
        errors = _errors(scores[here], truth, task.margin)
        wrong = (~(errors <= 0) & (target[here] != UNLABELLED)).nonzero()[0]
        block = keys[found : found + len(wrong)]
        block[:] = errors[wrong].view(np.int32) ^ _FLIP
        block <<= 32
        block |= (wrong + start) << 1
        block |= truth[wrong]
        found += len(wrong)
        positives += int(np.count_nonzero(truth))
    return keys[:found], positives


def _errors(scores: NDArray[np.float32], truth: NDArray[np.bool_], margin: int) -> NDArray[np.float32]:
    """1 - score where `truth`, else margin + score: by arithmetic, since to choose pixel by pixel takes far longer."""
    positive = truth.astype(np.float32)
    errors = scores * (1 - 2 * positive)
    errors += np.maximum(positive, margin)
    return errors


def _block_growth(truth: NDArray[np.float32], positives: int, before: int, p: int) -> NDArray[np.float32]:
    """`_growth` of a block, to float32's rounding, since counts are exact before they are divided.

    truth: float32 (E,), 0 and 1. before: how many pixels are ranked before the block, p of them positive.
    """
    seen, left = np.cumsum(truth, dtype=np.int32), positives - p
    union = np.arange(left + before + 1, left + before + 1 + len(truth), dtype=np.int32) - seen
    size = union.astype(np.float32)
    growth = (left - seen).astype(np.float32)
    growth /= np.maximum(size - 1, 1)
    np.maximum(growth, truth, out=growth)  # no ratio is above 1, which a positive's numerator is
    growth /= size
    if positives == 0 and before == 0:
        growth[:1] = 1
    return growth
