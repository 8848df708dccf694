"""What a training minimises: cross-entropy and a Lovász loss.

Two classes share one logit a pixel, > 0 meaning class 1, and the Lovász hinge; K > 2 classes have K logits and the
Lovász-softmax. `target` holds class indices and 255; unlabelled pixels add nothing to a loss and nothing to its
gradient. Without a valid pixel a loss is 0.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from ml.config import LossConfig
from ml.contract import UNLABELLED
from ml.nn.training.lovasz import Task, mean_lovasz_extension


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


def binary_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Mean over the valid pixels of softplus(F) - y F, which is -log of the sigmoid's probability of the truth.

    logits, target: of one shape.
    """
    _same_shape(logits, target)
    valid = target != UNLABELLED
    losses = functional.binary_cross_entropy_with_logits(logits, (target == 1).to(logits.dtype), reduction="none")
    return losses.masked_fill(~valid, 0).sum() / valid.sum().clamp(min=1)


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Mean over the valid pixels of -log of the softmax probability of the truth.

    logits: (N, K, H, W). target: (N, H, W).
    """
    _one_logit_a_class(logits, target)
    losses = functional.cross_entropy(logits, target.long(), ignore_index=UNLABELLED, reduction="sum")
    return losses / (target != UNLABELLED).sum().clamp(min=1)


def lovasz_hinge(logits: Tensor, target: Tensor, *, per_image: bool = False) -> Tensor:
    """The Lovász hinge: the convex surrogate of the Jaccard loss 1 - IoU (Yu & Blaschko 2015, arXiv:1512.07797).

    The Lovász extension of the Jaccard loss at the hinge errors m = max(0, 1 - t F), t = 2y - 1. per_image: the mean
    over the images (first axis) that have a valid pixel; else the whole batch is one set, which matches the pooled IoU.
    logits, target: of one shape.
    """
    _same_shape(logits, target)

    def loss(scores: Tensor, truth: Tensor) -> Tensor:
        task = Task(row=0, label=1, margin=1)
        return mean_lovasz_extension(scores.reshape(1, -1), truth.reshape(-1), [task])

    return _by_image(loss, logits, target) if per_image else loss(logits, target)


def lovasz_softmax(logits: Tensor, target: Tensor, *, per_image: bool = False) -> Tensor:
    """The Lovász-softmax (Berman et al. 2018, arXiv:1705.08790): the mean over the classes that occur in the truth.

    Of each class the Lovász extension of the Jaccard loss at the errors |[y = class] - p|, p its softmax probability.
    per_image: as of `lovasz_hinge`. logits: (N, K, H, W). target: (N, H, W).
    """
    _one_logit_a_class(logits, target)

    def loss(scores: Tensor, truth: Tensor) -> Tensor:
        probabilities, labels = scores.softmax(dim=-3).movedim(-3, 0).flatten(1), truth.reshape(-1)
        counts = labels[labels != UNLABELLED].bincount(minlength=len(probabilities))[: len(probabilities)].tolist()
        present = [index for index, count in enumerate(counts) if count]
        tasks = [Task(row=index, label=index, margin=0) for index in present]
        return mean_lovasz_extension(probabilities, labels, tasks) if tasks else scores.sum() * 0

    return _by_image(loss, logits, target) if per_image else loss(logits, target)


def _by_image(loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, target: Tensor) -> Tensor:
    """The mean of `loss` over the images that have a valid pixel."""
    valid = (target != UNLABELLED).unsqueeze(-1).flatten(1).any(dim=1).tolist()
    images = [loss(one, truth) for one, truth, there in zip(logits, target, valid, strict=True) if there]
    return torch.stack(images).mean() if images else logits.sum() * 0


def _same_shape(logits: Tensor, target: Tensor) -> None:
    if logits.shape != target.shape:
        raise ValueError(f"target has shape {tuple(target.shape)}, logits have {tuple(logits.shape)}: make them equal")


def _one_logit_a_class(logits: Tensor, target: Tensor) -> None:
    if logits.ndim != 4 or target.shape != (logits.shape[0], *logits.shape[2:]):
        shapes = f"logits have shape {tuple(logits.shape)}, target has {tuple(target.shape)}"
        raise ValueError(f"{shapes}: give (N, K, H, W) and (N, H, W)")
