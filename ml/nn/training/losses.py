"""The losses that a training minimises: cross-entropy and a Lovász loss.

For two classes there is one logit for each pixel, which is > 0 for class 1, and the Lovász loss is the Lovász hinge.
For K > 2 classes there are K logits, and the Lovász loss is the Lovász-softmax. `target` contains class indices, and
255 where a pixel is unlabelled; such pixels add nothing to a loss and nothing to its gradient. The other pixels are
called valid here. Without a valid pixel a loss is 0.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from ml.config import LossConfig
from ml.contract import UNLABELLED
from ml.nn.training.lovasz import Task, mean_lovasz_extension


def total_loss(config: LossConfig, logits: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Compute the weighted sum of the loss terms in `config`, and the terms, detached, by their names in `config`.

    A term with weight 0 is not computed.

    logits: (N, 1, H, W) for two classes, (N, K, H, W) for K > 2 classes.
    target: (N, H, W).
    """
    terms: dict[str, Tensor] = {}
    binary = logits.shape[1] == 1
    if config.ce:
        terms["ce"] = binary_cross_entropy(logits[:, 0], target) if binary else cross_entropy(logits, target)
    if config.lovasz_hinge:
        terms["lovasz_hinge"] = lovasz_hinge(logits[:, 0], target, per_image=config.per_image)
    if config.lovasz_softmax:
        terms["lovasz_softmax"] = lovasz_softmax(logits, target, per_image=config.per_image)
    total = sum((getattr(config, name) * term for name, term in terms.items()), start=logits.new_zeros(()))
    return total, {name: term.detach() for name, term in terms.items()}


def ramped(config: LossConfig, step: int, total: int) -> LossConfig:
    """Return `config` with the weight of its Lovász loss at the step with this number, from 0, of `total` steps."""
    rising = round(config.lovasz_ramp * total)
    if step >= rising:
        return config
    share = (step + 1) / (rising + 1)
    names = ("lovasz_hinge", "lovasz_softmax")
    return config.model_copy(update={name: share * getattr(config, name) for name in names})


def binary_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Compute the mean over the valid pixels of softplus(F) - y F, where F is the logit and y the class, 0 or 1.

    This is -log of the sigmoid probability of the labelled class.

    logits, target: Tensors of the same shape.
    """
    _same_shape(logits, target)
    valid = target != UNLABELLED
    losses = functional.binary_cross_entropy_with_logits(logits, (target == 1).to(logits.dtype), reduction="none")
    return losses.masked_fill(~valid, 0).sum() / valid.sum().clamp(min=1)


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Compute the mean over the valid pixels of -log of the softmax probability of the labelled class.

    logits: (N, K, H, W). target: (N, H, W).
    """
    _one_logit_per_class(logits, target)
    # PyTorch's own sum over pixels uses atomics on a GPU, so its order, and its bits, would change from run to run
    losses = functional.cross_entropy(logits, target.long(), ignore_index=UNLABELLED, reduction="none").sum()
    return losses / (target != UNLABELLED).sum().clamp(min=1)


def lovasz_hinge(logits: Tensor, target: Tensor, *, per_image: bool = False) -> Tensor:
    """Compute the Lovász hinge, a convex surrogate of the Jaccard loss 1 - IoU (Yu & Blaschko 2015, arXiv:1512.07797).

    It is the Lovász extension of the Jaccard loss at the hinge errors m = max(0, 1 - t F), where F is the logit and
    t = 2y - 1 is -1 for class 0 and 1 for class 1.

    logits, target: Tensors of the same shape.
    per_image: Whether to take the mean over the images (first axis) that have a valid pixel. Otherwise the whole batch
        is one set of pixels, which matches the pooled IoU.
    """
    _same_shape(logits, target)

    def loss(scores: Tensor, truth: Tensor) -> Tensor:
        task = Task(row=0, label=1, margin=1)
        return mean_lovasz_extension(scores.reshape(1, -1), truth.reshape(-1), [task])

    return _by_image(loss, logits, target) if per_image else loss(logits, target)


def lovasz_softmax(logits: Tensor, target: Tensor, *, per_image: bool = False) -> Tensor:
    """Compute the Lovász-softmax (Berman et al. 2018, arXiv:1705.08790).

    It is a mean over the classes that occur in `target`. The value of a class is the Lovász extension of the Jaccard
    loss at the errors |[y = class] - p|, where p is the softmax probability of the class.

    logits: (N, K, H, W).
    target: (N, H, W).
    per_image: As for `lovasz_hinge`.
    """
    _one_logit_per_class(logits, target)

    def loss(scores: Tensor, truth: Tensor) -> Tensor:
        probabilities, labels = scores.softmax(dim=-3).movedim(-3, 0).flatten(1), truth.reshape(-1)
        tasks = [Task(row=index, label=index, margin=0) for index in range(len(probabilities))]
        present = torch.stack([(labels == task.label).any() for task in tasks])
        if not _is_near(labels):
            return mean_lovasz_extension(probabilities, labels, tasks, present)
        tasks = [task for task, there in zip(tasks, present.tolist(), strict=True) if there]
        return mean_lovasz_extension(probabilities, labels, tasks) if tasks else scores.sum() * 0

    return _by_image(loss, logits, target) if per_image else loss(logits, target)


def _by_image(loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, target: Tensor) -> Tensor:
    """Compute the mean of `loss` over the images that have a valid pixel."""
    valid = (target != UNLABELLED).unsqueeze(-1).flatten(1).any(dim=1)
    if not _is_near(target):  # an image without a valid pixel has the loss 0
        every = torch.stack([loss(one, truth) for one, truth in zip(logits, target, strict=True)])
        return every.sum() / valid.sum().clamp(min=1)
    images = [loss(one, truth) for one, truth, usable in zip(logits, target, valid.tolist(), strict=True) if usable]
    return torch.stack(images).mean() if images else logits.sum() * 0


def _is_near(tensor: Tensor) -> bool:
    """Whether the host can look at the values of `tensor` without waiting for another device to compute them."""
    return tensor.device.type == "cpu"


def _same_shape(logits: Tensor, target: Tensor) -> None:
    if logits.shape != target.shape:
        shapes = f"target has shape {tuple(target.shape)}, logits have {tuple(logits.shape)}"
        raise ValueError(f"{shapes}: they must be equal")


def _one_logit_per_class(logits: Tensor, target: Tensor) -> None:
    if logits.ndim != 4 or target.shape != (logits.shape[0], *logits.shape[2:]):
        shapes = f"logits have shape {tuple(logits.shape)}, target has {tuple(target.shape)}"
        raise ValueError(f"{shapes}: they must be (N, K, H, W) and (N, H, W)")
