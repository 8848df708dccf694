"""The Lovász extension of the Jaccard loss of one class, with its gradient, computed exactly with a single sort.

The errors are sorted in decreasing order. The weight of an error is the growth of the Jaccard loss when its pixel joins
the set of mispredicted pixels (Berman et al. 2018, arXiv:1705.08790, algorithm 1). In closed form, let P be the number
of positive pixels, and let p positive and n negative pixels rank before a pixel. Then its weight is 1 / (P + n) if it
is positive, and (P - p) / ((P + n) (P + n + 1)) if it is negative. If P = 0, the pixel with the largest error has
weight 1. The loss is piecewise linear, so the weights are its gradient with respect to the errors.

An error of 0 adds nothing, and a weight depends only on the pixels that rank before it. So it is exact to drop the
errors that are not positive before the sort, and it saves most of the work once the net has learnt something. That is
done on a CPU. A GPU sorts all pixels, because their number would have to come back to the host, which would wait. Equal
errors rank by the indices of their pixels.
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

_BLOCK = 1 << 15  # pixels: the arrays of a block fit into a core's cache, which halves the time
_MAX_KEYED = 1 << 30  # pixels: an index must fit in 31 bits, and the size of a union in an int32
_FLIP = 0x7FFFFFFF  # turns the bits of positive floats into integers in reverse order


@dataclass(frozen=True)
class Task:
    """One class of which to compute the loss.

    The error of a pixel is 1 - score if its target is `label`, 0 if its target is 255, else margin + score.

    row: Index of the scores of the class along the first axis.
    label: Index of the class in the target.
    margin: 1 if scores > 0 mean the class (the hinge), 0 if scores are probabilities.
    """

    row: int
    label: int
    margin: int


def mean_lovasz_extension(
    scores: Tensor, target: Tensor, tasks: Sequence[Task], present: Tensor | None = None
) -> Tensor:
    """Compute the mean over `tasks` of the Lovász extension of the Jaccard loss at the positive errors.

    NaN ranks as the largest error and makes the loss NaN.

    scores: Floats (R, N); the loss has their dtype.
    target: Class indices, integers (N,); 255 where a pixel is unlabelled.
    tasks: The classes, at least one.
    present: Which of the tasks count in the mean, bool (T,), on the device of the scores; None means all. If none
        counts, the loss is 0. It lets a GPU leave tasks out without telling the host, which would wait for it.
    """
    counted = torch.ones(len(tasks), device=scores.device) if present is None else present.float()
    return _MeanExtension.apply(scores, target, tasks, counted)  # type: ignore[no-any-return, no-untyped-call]


class _MeanExtension(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, target: Tensor, tasks: Sequence[Task], counted: Tensor) -> Tensor:
        keyed = scores.device.type == "cpu" and scores.dtype == torch.float32 and len(target) < _MAX_KEYED
        solve = _by_keys if keyed else _by_torch
        losses, indices, slopes = zip(*(solve(scores[task.row], target, task) for task in tasks), strict=True)
        ctx.save_for_backward(counted, *indices, *slopes)
        ctx.shape, ctx.rows = scores.shape, [task.row for task in tasks]
        if keyed:
            return torch.as_tensor(sum(losses) / len(tasks), dtype=scores.dtype)
        return ((torch.stack(losses) * counted).sum() / counted.sum().clamp(min=1)).to(scores.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        count = len(ctx.rows)
        counted, *saved = ctx.saved_tensors
        shares = gradient * counted / counted.sum().clamp(min=1)
        dense = gradient.new_zeros(ctx.shape)
        for row, share, where, slope in zip(ctx.rows, shares, saved[:count], saved[count:], strict=True):
            dense[row].index_copy_(0, where, share.to(slope.dtype) * slope)  # faster than `scatter_`
        return dense, None, None, None


def _by_torch(scores: Tensor, target: Tensor, task: Task) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the loss of one class on any device and in any float dtype, without waiting for the device.

    All pixels are sorted, because their number is known: that of the positive errors would have to come back from the
    device. The other pixels rank last and get the weight 0.

    scores, target: (N,).

    Returns:
        The loss () in float64; the indices of the pixels, from the largest error to the smallest, int64 (N,); the
        derivatives of the loss with respect to their scores (N,).
    """
    counted = target != UNLABELLED
    positive = (target == task.label) & counted
    errors = torch.where(positive, 1 - scores, task.margin + scores)
    wrong = ~(errors <= 0) & counted
    ranked, order = torch.where(wrong, errors, 0).sort(descending=True, stable=True)
    truth = positive.gather(0, order)
    growth = _growth(truth, positive.count_nonzero()).where(wrong.gather(0, order), 0)
    slopes = torch.where(truth, -growth, growth)
    return (growth * ranked).sum(), order, slopes.to(scores.dtype)


def _growth(truth: Tensor, positives: Tensor) -> Tensor:
    """Compute the growth of the Jaccard loss with each pixel, in the given order: float64 (E,) from exact counts.

    truth: Whether each pixel is positive, bool (E,).
    positives: Number of positive pixels among all pixels, int64 ().
    """
    p = truth.cumsum(0)  # includes this pixel
    union = (positives + torch.arange(1, len(truth) + 1, device=truth.device) - p).double()
    growth = torch.where(truth, 1, (positives - p) / (union - 1).clamp(min=1)) / union
    return torch.where(~truth & (union == 1), 1, growth)  # the first pixel if P = 0


def _by_keys(scores: Tensor, target: Tensor, task: Task) -> tuple[float, Tensor, Tensor]:
    """Compute the same as `_by_torch`, for float32 scores (N,) on a CPU.

    One sort of 64-bit keys (bits of the error, index of the pixel, truth) is enough, because positive floats have the
    order of their bits. NumPy's vectorised sort of keys is several times faster than an argsort with a gather.
    """
    keys, positives = _keys(scores.detach().numpy(), target.numpy(), task)
    keys.sort()
    slopes = np.empty(len(keys), dtype=np.float32)
    loss, p = 0.0, 0
    with np.errstate(invalid="ignore"):  # infinite errors and NaN make the loss infinite or NaN
        for start in range(0, len(keys), _BLOCK):
            block = keys[start : start + _BLOCK]
            truth = (block & 1).astype(np.float32)
            errors = ((block >> 32).astype(np.int32) ^ _FLIP).view(np.float32)
            growth = _block_growth(truth, positives, start, p)
            np.copysign(growth, 0.5 - truth, out=slopes[start : start + _BLOCK])
            loss += float((growth * errors).sum())
            p += int(np.count_nonzero(truth))
            block &= 0xFFFFFFFF
            block >>= 1  # leaves the index of the pixel
    return loss, torch.from_numpy(keys), torch.from_numpy(slopes)


def _keys(scores: NDArray[np.float32], target: NDArray[Any], task: Task) -> tuple[NDArray[np.int64], int]:
    """Make a key for each positive error, int64 (E,), and count the positive pixels.

    The largest error has the smallest key.
    """
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
    """Compute 1 - score where `truth`, else margin + score, float32 (N,).

    Arithmetic does this far faster than a choice for each pixel.
    """
    positive = truth.astype(np.float32)
    errors = scores * (1 - 2 * positive)
    errors += np.maximum(positive, margin)
    return errors


def _block_growth(truth: NDArray[np.float32], positives: int, before: int, p: int) -> NDArray[np.float32]:
    """Compute `_growth` for a block of E pixels, float32 (E,), exact up to rounding as counts are exact until divided.

    truth: 1 for positive pixels and 0 for negative ones, float32 (E,).
    positives: Number of positive pixels among all pixels.
    before: Number of pixels that rank before the block.
    p: Number of positive pixels that rank before the block.
    """
    counted, left = np.cumsum(truth, dtype=np.int32), positives - p
    union = np.arange(left + before + 1, left + before + 1 + len(truth), dtype=np.int32) - counted
    size = union.astype(np.float32)
    growth = (left - counted).astype(np.float32)
    growth /= np.maximum(size - 1, 1)
    np.maximum(growth, truth, out=growth)  # no ratio exceeds 1, which is the numerator for positive pixels
    growth /= size
    if positives == 0 and before == 0:
        growth[:1] = 1
    return growth
