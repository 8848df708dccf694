"""What a training minimises: binary cross-entropy and the Lovász hinge, on one logit a pixel.

Everywhere `logits` are real scores of any shape, > 0 meaning class 1, and `target` has the same shape with values in
{0, 1, ignore}; ignored pixels add nothing to a loss and nothing to its gradient. Without a valid pixel a loss is 0.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from ml.config import LossConfig


def total_loss(config: LossConfig, logits: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum that `config` asks for, and its parts, detached, by their names in `config`.

    A part of weight 0 is not computed. logits, target: shape (N, 1, H, W).
    """
    parts: dict[str, Tensor] = {}
    if config.ce:
        parts["ce"] = binary_cross_entropy(logits, target)
    if config.lovasz_hinge:
        parts["lovasz_hinge"] = lovasz_hinge(logits, target, per_image=config.per_image)
    total = sum((getattr(config, name) * part for name, part in parts.items()), start=logits.new_zeros(()))
    return total, {name: part.detach() for name, part in parts.items()}


def binary_cross_entropy(logits: Tensor, target: Tensor, ignore: int = 255) -> Tensor:
    """Mean over the valid pixels of softplus(F) - y F, which is -log of the sigmoid's probability of the truth."""
    _same_shape(logits, target)
    valid = target != ignore
    losses = functional.binary_cross_entropy_with_logits(logits, (target == 1).to(logits.dtype), reduction="none")
    return losses.masked_fill(~valid, 0).sum() / valid.sum().clamp(min=1)


def lovasz_hinge(logits: Tensor, target: Tensor, *, ignore: int = 255, per_image: bool = False) -> Tensor:
    """The Lovász hinge: the convex surrogate of the Jaccard loss 1 - IoU (Yu & Blaschko 2015, arXiv:1512.07797).

    The hinge errors m = max(0, 1 - t F), t = 2y - 1, are sorted decreasingly and each is weighted by how much the
    Jaccard loss of the mispredicted set grows when its pixel joins (the Lovász extension; Berman et al. 2018,
    arXiv:1705.08790, where a slow form of it in float32 can be found). per_image: the mean over the images
    (first axis) that have a valid pixel; else the whole batch is one set, which matches the pooled IoU.
    """
    _same_shape(logits, target)
    if not per_image:
        return _batch_lovasz_hinge(logits, target, ignore)
    images = [
        _batch_lovasz_hinge(image, truth, ignore)
        for image, truth in zip(logits, target, strict=True)
        if bool((truth != ignore).any())
    ]
    return torch.stack(images).mean() if images else logits.sum() * 0


def _batch_lovasz_hinge(logits: Tensor, target: Tensor, ignore: int) -> Tensor:
    return _LovaszHinge.apply(logits, target, ignore)  # type: ignore[no-any-return, no-untyped-call]


def _same_shape(logits: Tensor, target: Tensor) -> None:
    if logits.shape != target.shape:
        raise ValueError(f"target has shape {tuple(target.shape)}, logits have {tuple(logits.shape)}: make them equal")


class _LovaszHinge(torch.autograd.Function):
    """Loss and gradient in closed form: the loss is piecewise linear, so its gradient is the weights themselves.

    An error of 0 adds nothing, and a weight depends only on the pixels ranked before it, so dropping what is not
    positive BEFORE the sort is exact and saves most of the work once the net has learnt something.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor, ignore: int) -> Tensor:
        scores, truth = logits.reshape(-1), target.reshape(-1)
        positive = truth == 1
        errors = 1 + torch.where(positive, -scores, scores)
        wrong = (~(errors <= 0) & (truth != ignore)).nonzero().squeeze(1)  # NaN is wrong too, and shows in the loss
        errors, positive, order = _ranked(errors[wrong], positive[wrong])
        weights = _jaccard_growth(positive, positives=int((truth == 1).count_nonzero()))
        slope = torch.zeros_like(scores)
        slope[wrong[order]] = torch.where(positive, -weights, weights).to(scores.dtype)
        ctx.save_for_backward(slope.view_as(logits))
        return (weights * errors).sum().to(scores.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return gradient * slope, None, None


def _jaccard_growth(positive: Tensor, positives: int) -> Tensor:
    """How much the Jaccard loss grows with each pixel, taken in the given order: float64 from exact counts.

    positive: bool (K,), the truth of the pixels in order. positives: P, of the whole truth. With p positives and n
    negatives taken before, a positive adds 1 / (P + n) and a negative (P - p) / ((P + n) (P + n + 1)); with P = 0 the
    first pixel makes the prediction entirely wrong and adds 1.
    """
    p = positive.long().cumsum(0) - positive.long()
    n = torch.arange(len(positive), device=positive.device) - p
    union = (positives + n).double().clamp(min=1)
    growth = torch.where(positive, 1 / union, (positives - p) / (union * (union + 1)))
    if positives == 0:
        growth[:1] = 1
    return growth


def _ranked(errors: Tensor, positive: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The positive `errors` (K,) from large to small, `positive` (K,) in that order, and the order itself.

    Positive floats order like their bits, so on a CPU one sort of 64-bit keys (error bits, index, label) does it all:
    numpy's vectorised sort is several times faster than an indirect one with its gathering.
    """
    if errors.device.type != "cpu" or errors.dtype != torch.float32:
        order = errors.argsort(descending=True, stable=True)
        return errors[order], positive[order], order
    keys = (errors.view(torch.int32).long() << 32) | (torch.arange(len(errors)) << 1) | positive
    keys.numpy().sort()
    keys = keys.flip(0)
    return (keys >> 32).int().view(torch.float32), (keys & 1).bool(), (keys >> 1) & 0x7FFFFFFF
