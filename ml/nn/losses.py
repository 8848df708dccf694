"""What a training minimises: cross-entropy and a Lovász loss.

Two classes share one logit a pixel, > 0 meaning class 1, and the Lovász hinge; K > 2 classes have K logits and the
Lovász-softmax. `target` holds class indices and `ignore`; ignored pixels add nothing to a loss and nothing to its
gradient. Without a valid pixel a loss is 0.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from ml.config import LossConfig

IGNORE = 255


def total_loss(config: LossConfig, logits: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum that `config` asks for, and its parts, detached, by their names in `config`.

    A part of weight 0 is not computed. logits: (N, 1, H, W) for two classes, (N, K, H, W) for K. target: (N, H, W).
    """
    parts: dict[str, Tensor] = {}
    binary = logits.shape[1] == 1
    if config.ce:
        parts["ce"] = binary_cross_entropy(logits[:, 0], target) if binary else cross_entropy(logits, target)
    if config.lovasz_hinge:
        parts["lovasz_hinge"] = lovasz_hinge(logits[:, 0], target, per_image=config.per_image)
    if config.lovasz_softmax:
        parts["lovasz_softmax"] = lovasz_softmax(logits, target, per_image=config.per_image)
    total = sum((getattr(config, name) * part for name, part in parts.items()), start=logits.new_zeros(()))
    return total, {name: part.detach() for name, part in parts.items()}


def binary_cross_entropy(logits: Tensor, target: Tensor, ignore: int = IGNORE) -> Tensor:
    """Mean over the valid pixels of softplus(F) - y F, which is -log of the sigmoid's probability of the truth.

    logits, target: of one shape.
    """
    _same_shape(logits, target)
    valid = target != ignore
    losses = functional.binary_cross_entropy_with_logits(logits, (target == 1).to(logits.dtype), reduction="none")
    return losses.masked_fill(~valid, 0).sum() / valid.sum().clamp(min=1)


def cross_entropy(logits: Tensor, target: Tensor, ignore: int = IGNORE) -> Tensor:
    """Mean over the valid pixels of -log of the softmax probability of the truth.

    logits: (N, K, H, W). target: (N, H, W).
    """
    _one_logit_a_class(logits, target)
    losses = functional.cross_entropy(logits, target.long(), ignore_index=ignore, reduction="sum")
    return losses / (target != ignore).sum().clamp(min=1)


def lovasz_hinge(logits: Tensor, target: Tensor, *, ignore: int = IGNORE, per_image: bool = False) -> Tensor:
    """The Lovász hinge: the convex surrogate of the Jaccard loss 1 - IoU (Yu & Blaschko 2015, arXiv:1512.07797).

    The Lovász extension of the Jaccard loss at the hinge errors m = max(0, 1 - t F), t = 2y - 1. per_image: the mean
    over the images (first axis) that have a valid pixel; else the whole batch is one set, which matches the pooled IoU.
    logits, target: of one shape.
    """
    _same_shape(logits, target)

    def loss(scores: Tensor, truth: Tensor) -> Tensor:
        positive = truth == 1
        errors = 1 + torch.where(positive, -scores, scores)
        return _lovasz(errors, positive, truth != ignore)

    return _by_image(loss, logits, target, ignore) if per_image else loss(logits, target)


def lovasz_softmax(logits: Tensor, target: Tensor, *, ignore: int = IGNORE, per_image: bool = False) -> Tensor:
    """The Lovász-softmax (Berman et al. 2018, arXiv:1705.08790): the mean over the classes that occur in the truth.

    Of each class the Lovász extension of the Jaccard loss at the errors |[y = class] - p|, p its softmax probability.
    per_image: as of `lovasz_hinge`. logits: (N, K, H, W). target: (N, H, W).
    """
    _one_logit_a_class(logits, target)

    def loss(scores: Tensor, truth: Tensor) -> Tensor:
        probabilities, valid = scores.softmax(dim=-3).movedim(-3, 0), truth != ignore
        losses = []
        for index, probability in enumerate(probabilities):
            positive = truth == index
            if bool(positive.any()):
                errors = torch.where(positive, 1 - probability, probability)
                losses.append(_lovasz(errors, positive, valid))
        return torch.stack(losses).mean() if losses else scores.sum() * 0

    return _by_image(loss, logits, target, ignore) if per_image else loss(logits, target)


def _by_image(loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, target: Tensor, ignore: int) -> Tensor:
    """The mean of `loss` over the images that have a valid pixel."""
    images = [loss(one, truth) for one, truth in zip(logits, target, strict=True) if bool((truth != ignore).any())]
    return torch.stack(images).mean() if images else logits.sum() * 0


def _same_shape(logits: Tensor, target: Tensor) -> None:
    if logits.shape != target.shape:
        raise ValueError(f"target has shape {tuple(target.shape)}, logits have {tuple(logits.shape)}: make them equal")


def _one_logit_a_class(logits: Tensor, target: Tensor) -> None:
    if logits.ndim != 4 or target.shape != (logits.shape[0], *logits.shape[2:]):
        shapes = f"logits have shape {tuple(logits.shape)}, target has {tuple(target.shape)}"
        raise ValueError(f"{shapes}: give (N, K, H, W) and (N, H, W)")


def _lovasz(errors: Tensor, positive: Tensor, valid: Tensor) -> Tensor:
    return _LovaszExtension.apply(errors, positive, valid)  # type: ignore[no-any-return, no-untyped-call]


class _LovaszExtension(torch.autograd.Function):
    """The Lovász extension of the Jaccard loss at `errors`, of which the positive part counts.

    The errors are sorted decreasingly and each is weighted by how much the Jaccard loss of the mispredicted set grows
    when its pixel joins. Loss and gradient in closed form: the loss is piecewise linear, so its gradient is the weights
    themselves. An error of 0 adds nothing, and a weight depends only on the pixels ranked before it, so dropping what
    is not positive BEFORE the sort is exact and saves most of the work once the net has learnt something.
    """

    @staticmethod
    def forward(ctx: Any, errors: Tensor, positive: Tensor, valid: Tensor) -> Tensor:
        flat, truth, counted = errors.reshape(-1), positive.reshape(-1), valid.reshape(-1)
        wrong = (~(flat <= 0) & counted).nonzero().squeeze(1)  # NaN is wrong too, and shows in the loss
        ranked, truth_ranked, order = _ranked(flat[wrong], truth[wrong])
        weights = _jaccard_growth(truth_ranked, positives=int((truth & counted).count_nonzero()))
        slope = torch.zeros_like(flat)
        slope[wrong[order]] = weights.to(flat.dtype)
        ctx.save_for_backward(slope.view_as(errors))
        return (weights * ranked).sum().to(flat.dtype)

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
