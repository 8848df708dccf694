"""Compares the Lovász losses, forward and backward, with the reference, segmentation_models_pytorch and kornia.

    python benchmarks/bench_losses.py [--quick]

Logits are float32 and made so that a given share of the pixels has a positive hinge error. Targets are uint8 for
canemap's losses ("ours"), as in training, and int64 for the others. kornia scores each image alone, which makes its
sorts smaller: compare it with "ours, per image". The last table has the distance of each gradient from the exact one.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from kornia.losses import lovasz_hinge_loss, lovasz_softmax_loss  # type: ignore[import-not-found]
from numpy.typing import NDArray
from segmentation_models_pytorch.losses import LovaszLoss  # type: ignore[import-not-found]
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.side_by_side import medians, show
from ml.nn.training.losses import lovasz_hinge, lovasz_softmax

Shape = tuple[int, ...]
Loss = Callable[[Tensor], Tensor]
POSITIVE = 0.3  # share of class 1
OURS, REFERENCE = "ours", "reference"
ALONE = "ours, per image"
PEERS = (REFERENCE, "SMP", "kornia")


def hinge_case(shape: Shape, wrong: float) -> tuple[Tensor, Tensor]:
    """Logits and uint8 targets of `shape` (N, H, W); a share `wrong` of the logits has a positive hinge error."""
    random = np.random.default_rng(0)
    target = (random.random(shape) < POSITIVE).astype(np.uint8)
    errors = np.abs(random.standard_normal(shape)) + 1e-3
    count = round(wrong * errors.size)
    errors.flat[random.permutation(errors.size)[count:]] *= -1
    logits = np.where(target == 1, 1 - errors, errors - 1).astype(np.float32)
    return torch.from_numpy(logits).requires_grad_(), torch.from_numpy(target)


def softmax_case(shape: Shape) -> tuple[Tensor, Tensor]:
    """Logits of `shape` (N, K, H, W), in which the true class is 2 higher on average, and uint8 targets (N, H, W)."""
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(0, shape[1], (shape[0], *shape[2:]), generator=generator)
    truth = torch.nn.functional.one_hot(target, shape[1]).movedim(-1, 1)
    logits = torch.randn(shape, generator=generator) + 2 * truth
    return logits.requires_grad_(), target.to(torch.uint8)


def reference_extension(errors: Tensor, truth: Tensor) -> Tensor:
    """The Lovász extension as published (arXiv:1705.08790, algorithm 1): sort, cumulative sums, differences, dot."""
    ranked, order = errors.sort(descending=True)
    positive = truth[order].float()
    total = positive.sum()
    jaccard = 1 - (total - positive.cumsum(0)) / (total + (1 - positive).cumsum(0))
    return torch.dot(ranked.relu(), jaccard.diff(prepend=jaccard.new_zeros(1)))


def reference_hinge(logits: Tensor, target: Tensor) -> Tensor:
    """The Lovász hinge of the whole batch."""
    scores, truth = logits.reshape(-1), target.reshape(-1)
    return reference_extension(1 - scores * (2 * truth.float() - 1), truth)


def reference_softmax(logits: Tensor, target: Tensor) -> Tensor:
    """The Lovász-softmax of the whole batch, over the classes that occur."""
    probabilities, labels = logits.softmax(dim=1).movedim(1, -1).flatten(0, -2), target.reshape(-1)
    losses = []
    for index in range(logits.shape[1]):
        truth = (labels == index).float()
        if truth.sum() > 0:
            losses.append(reference_extension((truth - probabilities[:, index]).abs(), truth))
    return torch.stack(losses).mean()


def hinge_losses(target: Tensor) -> dict[str, Loss]:
    """The contenders by name: functions from logits (N, H, W) to a loss."""
    labels, smp = target.long(), LovaszLoss(mode="binary")
    return {
        REFERENCE: lambda logits: reference_hinge(logits, labels),
        "SMP": lambda logits: smp(logits, labels),
        "kornia": lambda logits: lovasz_hinge_loss(logits[:, None], labels),
        OURS: lambda logits: lovasz_hinge(logits, target),
        ALONE: lambda logits: lovasz_hinge(logits, target, per_image=True),
    }


def softmax_losses(target: Tensor) -> dict[str, Loss]:
    """The contenders by name: functions from logits (N, K, H, W) to a loss."""
    labels, smp = target.long(), LovaszLoss(mode="multiclass")
    return {
        REFERENCE: lambda logits: reference_softmax(logits, labels),
        "SMP": lambda logits: smp(logits, labels),
        "kornia": lambda logits: lovasz_softmax_loss(logits, labels),
        OURS: lambda logits: lovasz_softmax(logits, target),
        ALONE: lambda logits: lovasz_softmax(logits, target, per_image=True),
    }


def step(loss: Loss, logits: Tensor) -> Tensor:
    """Compute the loss forward and backward; its gradient with respect to the logits."""
    (gradient,) = torch.autograd.grad(loss(logits), logits)
    return gradient


def times(losses: dict[str, Loss], logits: Tensor, rounds: int) -> list[object]:
    """Median milliseconds of each loss, and three ratios of times.

    The ratios are reference / ours, best peer / ours, and kornia / ours per image. kornia computes the loss per image,
    the others that of the batch.
    """
    contenders = {name: lambda loss=loss: step(loss, logits) for name, loss in losses.items()}
    seconds = medians(contenders, rounds=rounds, warm_up=2)
    batch = min(seconds[REFERENCE], seconds["SMP"], seconds["kornia"]) / seconds[OURS]
    image = seconds["kornia"] / seconds[ALONE]
    return [*(1e3 * each for each in seconds.values()), seconds[REFERENCE] / seconds[OURS], batch, image]


def rounds_for(pixels: int) -> int:
    """Number of rounds: the more, the fewer pixels a round has."""
    return min(301, max(5, 2**21 // pixels))


COLUMNS = ("", *PEERS, OURS, ALONE, "ref / ours", "best / ours", "kornia / image")


def hinge_table(shapes: Sequence[Shape], threads: int) -> None:
    """Print the times of the Lovász hinge by size and by share of positive errors."""
    rows = []
    for shape in shapes:
        for wrong in (0.1, 0.3, 1.0):
            logits, target = hinge_case(shape, wrong)
            found = times(hinge_losses(target), logits, rounds_for(logits.numel()))
            rows.append([f"{' x '.join(map(str, shape))}, {wrong:.0%}", *found])
    show(f"Lovász hinge, ms, {threads} thread(s); share of positive errors", COLUMNS, rows)


def softmax_table(shapes: Sequence[Shape], threads: int) -> None:
    """Print the times of the Lovász-softmax by size and number of classes."""
    rows = []
    for shape in shapes:
        logits, target = softmax_case(shape)
        found = times(softmax_losses(target), logits, rounds_for(logits.numel()))
        rows.append([" x ".join(map(str, shape)), *found])
    show(f"Lovász-softmax, ms, {threads} thread(s)", COLUMNS, rows)


def exact_weights(errors: NDArray[np.float32], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weights (N,) of the errors (N,) by their definition: differences of the Jaccard loss, from integer counts."""
    order = np.argsort(-errors, kind="stable")
    total, seen = np.count_nonzero(truth), np.cumsum(truth[order])
    jaccard = 1 - (total - seen) / (total + np.arange(1, len(order) + 1) - seen)
    weights = np.empty(len(order))
    weights[order] = np.diff(jaccard, prepend=0.0)
    return np.where(errors > 0, weights, 0)


def exact_hinge(logits: Tensor, target: Tensor) -> Tensor:
    """Gradient of the Lovász hinge of the batch, float64, with the shape of the logits."""
    scores, truth = logits.detach().numpy().ravel(), target.numpy().ravel() == 1
    sign = np.where(truth, np.float32(-1), np.float32(1))
    return torch.from_numpy(sign * exact_weights(1 + sign * scores, truth)).view(logits.shape)


def exact_softmax(logits: Tensor, target: Tensor) -> Tensor:
    """Gradient of the Lovász-softmax of the batch, float64: errors in float32, their exact weights, then float64."""
    probabilities = logits.detach().softmax(dim=1)
    slopes = np.empty(probabilities.shape)
    for index in range(logits.shape[1]):
        truth, scores = target.numpy().ravel() == index, probabilities[:, index].numpy().ravel()
        weights = exact_weights(np.where(truth, 1 - scores, scores), truth)
        slopes[:, index] = np.where(truth, -weights, weights).reshape(target.shape)
    p = logits.detach().double().softmax(dim=1)
    slope = torch.from_numpy(slopes) / logits.shape[1]
    return p * (slope - (p * slope).sum(dim=1, keepdim=True))


def by_image(exact: Callable[[Tensor, Tensor], Tensor], logits: Tensor, target: Tensor) -> Tensor:
    """Gradient of the mean over the images of the loss whose gradient `exact` computes."""
    return torch.cat([exact(logits[i : i + 1], target[i : i + 1]) for i in range(len(logits))]) / len(logits)


def errors(losses: dict[str, Loss], logits: Tensor, batch: Tensor, image: Tensor) -> Iterator[str]:
    """Relative L2 distance of the gradient of each loss from the exact gradient of the batch or of the images."""
    for name, loss in losses.items():
        exact = image if name in ("kornia", ALONE) else batch
        yield f"{((step(loss, logits) - exact).norm() / exact.norm()).item():.1e}"


def error_table(hinge: Sequence[tuple[Shape, float]], softmax: Sequence[Shape]) -> None:
    """Print the relative distances of all gradients from the exact ones."""
    rows = []
    for shape, wrong in hinge:
        case = hinge_case(shape, wrong)
        exact = exact_hinge(*case), by_image(exact_hinge, *case)
        rows.append(
            [f"hinge, {' x '.join(map(str, shape))}, {wrong:.0%}", *errors(hinge_losses(case[1]), case[0], *exact)]
        )
    for shape in softmax:
        case = softmax_case(shape)
        exact = exact_softmax(*case), by_image(exact_softmax, *case)
        rows.append([f"softmax, {' x '.join(map(str, shape))}", *errors(softmax_losses(case[1]), case[0], *exact)])
    show("Relative error of the gradient, L2", ("", *PEERS, OURS, ALONE), rows)


def main() -> None:
    """Measure and print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes only")
    quick = parser.parse_args().quick
    hinge: list[Shape] = [(1, 64, 64), (1, 256, 256)]
    softmax: list[Shape] = [(1, 2, 64, 64), (1, 6, 64, 64)]
    if not quick:
        hinge += [(4, 256, 256), (16, 256, 256), (8, 512, 512)]
        softmax += [(4, classes, 256, 256) for classes in (2, 6, 13)]
    default = torch.get_num_threads()
    for threads in sorted({1, default}):
        torch.set_num_threads(threads)
        hinge_table(hinge, threads)
        softmax_table(softmax, threads)
    error_table([(hinge[-1], wrong) for wrong in (0.1, 0.3, 1.0)], softmax[-3:])


if __name__ == "__main__":
    main()
