"""The Lovász extension is exact on large batches and the same by both implementations."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from ml.config import LossConfig
from ml.nn.training.losses import lovasz_hinge, lovasz_softmax, total_loss
from ml.nn.training.lovasz import _BLOCK, Task, _by_keys, _by_torch, mean_lovasz_extension

HINGE, SOFTMAX = Task(row=0, label=1, margin=1), Task(row=0, label=1, margin=0)


def case(pixels: int, *, positives: float = 0.4, ignored: float = 0.2, step: float = 0) -> tuple[Tensor, Tensor]:
    """Make random scores, float32 (pixels,), and a target, uint8 (pixels,).

    positives, ignored: Shares of positive and of unlabelled pixels.
    step: If not 0, the scores are multiples of it.
    """
    generator = torch.Generator().manual_seed(pixels)
    scores = 2 * torch.randn(pixels, generator=generator)
    target = (torch.rand(pixels, generator=generator) < positives).to(torch.uint8)
    target[torch.rand(pixels, generator=generator) < ignored] = 255
    return (scores / step).round() * step if step else scores, target


def gradient(scores: Tensor, target: Tensor) -> Tensor:
    leaf = scores.detach().clone().requires_grad_()
    lovasz_hinge(leaf, target).backward()  # type: ignore[no-untyped-call]
    assert leaf.grad is not None
    return leaf.grad


def hinge_errors(scores: Tensor, target: Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Compute the hinge errors and the signs of their derivatives; return the signs and the errors, float32 (N,)."""
    sign = np.where(target.numpy() == 1, np.float32(-1), np.float32(1))
    return sign, 1 + sign * scores.numpy()


def test_the_gradient_on_four_million_pixels_agrees_with_integer_counts() -> None:
    scores, target = case(2**22, positives=0.01, ignored=0)
    scores -= 3  # most of the many negative pixels are predicted correctly
    sign, errors = hinge_errors(scores, target)
    order = np.flatnonzero(errors > 0)
    order = order[np.argsort(-errors[order], kind="stable")]
    positives, counted = int((target == 1).sum()), np.cumsum(target.numpy()[order] == 1)
    intersection, union = positives - counted, positives + np.arange(1, len(order) + 1) - counted
    exact = np.zeros(len(scores))
    exact[order] = np.diff(1 - intersection / union, prepend=0.0)  # exact counts: only this rounds, by 1e-16
    found = gradient(scores, target).double().numpy()
    assert np.linalg.norm(found - sign * exact) <= 1e-6 * np.linalg.norm(exact)
    wrong = exact > 0
    assert np.abs(found[wrong] / (sign * exact)[wrong] - 1).max() <= 1e-6


@pytest.mark.parametrize(("dtype", "rel"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_the_gradient_agrees_with_exact_fractions(dtype: torch.dtype, rel: float) -> None:
    scores, target = case(500, step=0.25)
    counted = target != 255
    scores, target = scores[counted], target[counted]
    sign, errors = hinge_errors(scores, target)
    union, mistakes, before = int((target == 1).sum()), 0, Fraction(0)
    exact = np.zeros(len(scores))
    for pixel in np.argsort(-errors, kind="stable"):
        if errors[pixel] > 0:
            mistakes, union = mistakes + 1, union + int(target[pixel] == 0)
            exact[pixel] = float(sign[pixel]) * float(Fraction(mistakes, union) - before)
            before = Fraction(mistakes, union)
    assert gradient(scores.to(dtype), target).tolist() == pytest.approx(exact.tolist(), rel=rel, abs=0)


@pytest.mark.parametrize("task", [HINGE, SOFTMAX])
@pytest.mark.parametrize(
    ("pixels", "settings"),
    [
        (1, {}),
        (4096, {}),
        (2 * _BLOCK + 77, {}),
        (2 * _BLOCK + 77, {"step": 0.5}),  # ties
        (2 * _BLOCK + 77, {"positives": 0}),
        (2 * _BLOCK + 77, {"positives": 1}),
        (100, {"ignored": 1}),
    ],
)
def test_both_implementations_agree(task: Task, pixels: int, settings: dict[str, float]) -> None:
    scores, target = case(pixels, **settings)
    scores = scores.sigmoid() if task.margin == 0 else scores
    loss, indices, slopes = _by_keys(scores, target, task)
    other, other_indices, other_slopes = _by_torch(scores, target, task)
    assert loss == pytest.approx(other.item(), rel=1e-6)
    wrong = len(indices)  # the other one ranks all pixels; those without an error come last and weigh nothing
    assert torch.equal(indices, other_indices[:wrong])
    assert torch.allclose(slopes, other_slopes[:wrong], rtol=1e-6, atol=0)
    assert not other_slopes[wrong:].any()


@pytest.mark.parametrize("rank", [_by_keys, _by_torch])
@pytest.mark.parametrize("bad", [float("nan"), -float("nan")])
def test_nan_ranks_first_and_makes_the_loss_nan_unless_its_pixel_is_ignored(rank: object, bad: float) -> None:
    scores, target = case(1000, ignored=0)
    scores[500] = bad
    loss, indices, _ = rank(scores, target, HINGE)  # type: ignore[operator]
    assert math.isnan(loss)
    assert indices[0] == 500
    target[500] = 255
    assert math.isfinite(rank(scores, target, HINGE)[0])  # type: ignore[operator]


@pytest.mark.parametrize("rank", [_by_keys, _by_torch])
def test_an_infinite_error_makes_the_loss_infinite(rank: object) -> None:
    loss, indices, _ = rank(torch.tensor([0.0, torch.inf]), torch.tensor([1, 0]), HINGE)  # type: ignore[operator]
    assert loss == torch.inf
    assert indices[0] == 1


def test_errors_of_0_and_of_ignored_pixels_are_not_sorted() -> None:
    scores, target = torch.tensor([1.0, -1.0, 0.5, 3.0, 0.0]), torch.tensor([1, 0, 1, 1, 255])
    assert _by_keys(scores, target, HINGE)[1].tolist() == [2]
    _, indices, slopes = _by_torch(scores, target, HINGE)
    assert indices[slopes != 0].tolist() == [2]


def test_loss_and_gradient_have_the_same_bits_with_any_number_of_threads() -> None:
    scores, target = case(3 * _BLOCK, step=0.01)
    tasks = [Task(row=row, label=row, margin=0) for row in range(2)]

    def results() -> list[Tensor]:
        leaf = scores.clone().requires_grad_()
        rows = torch.stack([leaf, 1 - leaf])
        losses = [lovasz_hinge(leaf, target), mean_lovasz_extension(rows, target, tasks)]
        return [*losses, torch.autograd.grad(losses[0] + losses[1], leaf)[0]]

    threads, expected = torch.get_num_threads(), results()
    torch.use_deterministic_algorithms(True)
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            assert all(torch.equal(one, other) for one, other in zip(results(), expected, strict=True))
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_losses_and_gradients_have_the_dtype_of_the_scores(dtype: torch.dtype) -> None:
    scores, target = case(4096, step=0.25)  # multiples of 0.25 and their errors have few bits
    found = gradient(scores.to(dtype), target)
    assert found.dtype == dtype
    assert lovasz_hinge(scores.to(dtype), target).dtype == dtype
    assert torch.allclose(found.float(), gradient(scores, target), rtol=torch.finfo(dtype).eps * 4 + 1e-6)


def test_a_part_of_a_larger_tensor_has_the_gradient_of_its_copy() -> None:
    scores, target = case(2 * 3 * 64)
    batch, labels = scores.view(2, 3, 8, 8).to(memory_format=torch.channels_last), target.view(2, 3, 8, 8)[:, 1]
    assert torch.equal(gradient(batch[:, 1], labels), gradient(batch[:, 1].contiguous(), labels.contiguous()))


def test_the_gradient_is_scaled_by_the_incoming_gradient_and_can_be_computed_twice() -> None:
    scores, target = case(1000)
    leaf = scores.requires_grad_()
    loss = 3 * lovasz_hinge(leaf, target)
    first, again = (torch.autograd.grad(loss, leaf, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, again)
    assert torch.allclose(first, 3 * gradient(scores, target), rtol=1e-6)


def test_a_class_without_a_labelled_pixel_does_not_count_as_present_in_the_softmax() -> None:
    logits = torch.randn((1, 3, 4, 4), generator=torch.Generator().manual_seed(0))
    target = torch.arange(16).view(1, 4, 4) % 3
    labelled = target != 2
    kept = logits[:, :, labelled[0]][:, :, None], target[labelled][None, None]
    assert lovasz_softmax(logits, torch.where(labelled, target, 255)) == lovasz_softmax(*kept)


@pytest.mark.parametrize("per_image", [False, True])
@pytest.mark.parametrize("classes", [2, 4])
def test_the_losses_of_a_gpu_never_wait_and_are_those_of_a_cpu(
    monkeypatch: pytest.MonkeyPatch, classes: int, per_image: bool
) -> None:
    """On the device "meta", which takes the way of a GPU, whatever the host must look at raises."""
    outputs = 1 if classes == 2 else classes
    loss = {"ce": 1, "lovasz_hinge" if classes == 2 else "lovasz_softmax": 0.5, "per_image": per_image}
    config = LossConfig.model_validate(loss)
    far = torch.empty(2, outputs, 8, 8, device="meta", requires_grad=True)
    total_loss(config, far, torch.empty(2, 8, 8, dtype=torch.uint8, device="meta"))[0].backward()  # type: ignore[no-untyped-call]

    logits = 2 * torch.randn(3, outputs, 8, 8, generator=torch.Generator().manual_seed(1))
    target = torch.randint(classes - 1, (3, 8, 8), generator=torch.Generator().manual_seed(2)).to(torch.uint8)
    target[:, :3], target[1] = 255, 255  # one class does not occur, and one image has no label
    near = _value_and_gradient(config, logits, target)
    monkeypatch.setattr("ml.nn.training.losses._is_near", lambda _: False)
    monkeypatch.setattr("ml.nn.training.lovasz._MAX_KEYED", 0)
    for one, other in zip(near, _value_and_gradient(config, logits, target), strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-8)


def _value_and_gradient(config: LossConfig, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    leaf = logits.clone().requires_grad_()
    value, _ = total_loss(config, leaf, target)
    value.backward()  # type: ignore[no-untyped-call]
    assert leaf.grad is not None
    return value.detach(), leaf.grad
