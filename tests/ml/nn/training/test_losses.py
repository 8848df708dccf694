"""The losses agree with their definitions."""

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ml.config import LossConfig
from ml.nn.training.losses import binary_cross_entropy, cross_entropy, lovasz_hinge, lovasz_softmax, ramped, total_loss


def jaccard_loss(mispredicted: set[int], truth: list[int]) -> float:
    """Return the Jaccard loss D(M) = |M| / |{y = 1} u M| of the mispredicted pixels M; 0 if there are none."""
    union = {i for i, y in enumerate(truth) if y} | mispredicted
    return len(mispredicted) / len(union) if mispredicted else 0.0


def brute_force_lovasz_hinge(logits: list[float], truth: list[int]) -> float:
    """Compute the Lovász extension by its definition as a support function: the largest sum over all permutations."""
    errors = [max(0.0, 1 - (2 * y - 1) * f) for f, y in zip(logits, truth, strict=True)]
    best = 0.0
    for order in permutations(range(len(truth))):
        steps = [
            jaccard_loss(set(order[: k + 1]), truth) - jaccard_loss(set(order[:k]), truth) for k in range(len(order))
        ]
        best = max(best, sum(errors[i] * step for i, step in zip(order, steps, strict=True)))
    return best


def random_case(seed: int, shape: tuple[int, ...], *, ignored: float = 0.2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(shape, generator=generator)
    target = (torch.rand(shape, generator=generator) < 0.4).to(torch.uint8)
    target[torch.rand(shape, generator=generator) < ignored] = 255
    return logits, target


pixels = st.lists(st.tuples(st.floats(-3, 3, width=32), st.integers(0, 1)), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(pixels)
def test_the_lovasz_hinge_is_the_brute_force_maximum_over_all_permutations(case: list[tuple[float, int]]) -> None:
    logits, truth = [f for f, _ in case], [y for _, y in case]
    loss = lovasz_hinge(torch.tensor(logits), torch.tensor(truth))
    assert loss.item() == pytest.approx(brute_force_lovasz_hinge(logits, truth), abs=1e-5)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_where_hinge_errors_are_0_or_1_the_lovasz_hinge_is_the_jaccard_loss(case: list[tuple[bool, bool]]) -> None:
    # the logits are chosen so that right pixels have the hinge error 0, and wrong pixels have the hinge error 1
    truth = [int(y) for y, _ in case]
    logits = [0.0 if wrong else 2.0 * y - 1 for y, wrong in case]
    mispredicted = {i for i, (_, wrong) in enumerate(case) if wrong}
    loss = lovasz_hinge(torch.tensor(logits), torch.tensor(truth))
    assert loss.item() == pytest.approx(jaccard_loss(mispredicted, truth), abs=1e-6)


@pytest.mark.parametrize("per_image", [False, True])
def test_the_gradient_of_the_lovasz_hinge_is_right(per_image: bool) -> None:
    logits, target = random_case(3, (2, 1, 3, 4))
    logits = logits.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda scores: lovasz_hinge(scores, target, per_image=per_image), (logits,))


@pytest.mark.parametrize("loss", [lovasz_hinge, binary_cross_entropy])
def test_ignored_pixels_change_neither_loss_nor_gradient(loss: type[object]) -> None:
    logits, target = random_case(1, (2, 1, 8, 8))
    valid = target != 255
    few = logits[valid].requires_grad_()
    every = logits.masked_fill(~valid, 1e9).requires_grad_()
    few_loss, every_loss = loss(few, target[valid]), loss(every, target)  # type: ignore[call-arg]
    few_loss.backward()  # type: ignore[attr-defined]
    every_loss.backward()  # type: ignore[attr-defined]
    assert torch.allclose(few_loss, every_loss)  # type: ignore[arg-type]
    assert few.grad is not None
    assert every.grad is not None
    assert torch.allclose(every.grad[valid], few.grad)
    assert not every.grad[~valid].any()


def test_with_no_positives_the_lovasz_hinge_is_the_worst_pixels_hinge_alone() -> None:
    logits = torch.tensor([-2.0, 0.5, 1.5, -0.5], requires_grad=True)
    loss = lovasz_hinge(logits, torch.zeros(4, dtype=torch.uint8))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 2.5
    assert logits.grad is not None
    assert logits.grad.tolist() == [0, 0, 1, 0]


@pytest.mark.parametrize(
    "config", [LossConfig(ce=1), LossConfig(lovasz_hinge=1), LossConfig(lovasz_hinge=1, per_image=True)]
)
def test_without_a_valid_pixel_the_loss_is_0_with_a_gradient_of_zeros(config: LossConfig) -> None:
    logits = torch.randn(2, 1, 4, 4, requires_grad=True)
    loss, _ = total_loss(config, logits, torch.full((2, 4, 4), 255))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_per_image_is_the_mean_over_the_images_that_have_a_valid_pixel() -> None:
    logits, target = random_case(5, (3, 1, 6, 6))
    target[1] = 255
    expected = (lovasz_hinge(logits[0], target[0]) + lovasz_hinge(logits[2], target[2])) / 2
    assert torch.isclose(lovasz_hinge(logits, target, per_image=True), expected)


def test_float32_is_as_exact_as_float64() -> None:
    logits, target = random_case(7, (4, 1, 512, 512))
    logits.requires_grad_()
    double = logits.detach().double().requires_grad_()
    loss, exact = lovasz_hinge(logits, target), lovasz_hinge(double, target)
    loss.backward()  # type: ignore[no-untyped-call]
    exact.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(exact.item(), rel=1e-6)
    assert logits.grad is not None
    assert double.grad is not None
    assert (logits.grad - double.grad).norm() / double.grad.norm() < 1e-6


def test_a_logit_that_is_nan_makes_the_loss_nan() -> None:
    assert lovasz_hinge(torch.tensor([torch.nan, 0.5]), torch.tensor([1, 0])).isnan()


def test_cross_entropy_is_the_negative_logarithm_of_the_probability_of_the_labelled_class() -> None:
    logits, target = random_case(9, (2, 1, 5, 5))
    valid = target != 255
    p = 1 / (1 + np.exp(-logits[valid].double().numpy()))
    y = target[valid].numpy()
    expected = -np.log(np.where(y == 1, p, 1 - p)).mean()
    assert binary_cross_entropy(logits, target).item() == pytest.approx(expected, rel=1e-6)


def test_the_total_loss_is_the_weighted_sum_of_its_terms() -> None:
    logits, target = random_case(11, (2, 1, 8, 8))
    target = target[:, 0]
    loss, parts = total_loss(LossConfig(ce=1, lovasz_hinge=0.5), logits, target)
    assert parts.keys() == {"ce", "lovasz_hinge"}
    assert torch.isclose(loss, parts["ce"] + 0.5 * parts["lovasz_hinge"])
    assert total_loss(LossConfig(ce=1), logits, target)[1].keys() == {"ce"}, "a term with weight 0 is not computed"


def test_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 4, 4\).*\(2, 1, 4, 4\)"):
        lovasz_hinge(torch.zeros(2, 1, 4, 4), torch.zeros(2, 4, 4))


def slow_lovasz(errors: np.ndarray, truth: np.ndarray) -> float:
    """Compute the Lovász extension of the Jaccard loss by its definition: sort the errors, then add pixel by pixel."""
    order = np.argsort(-errors, kind="stable")
    positives = set(np.flatnonzero(truth).tolist())

    def loss(count: int) -> float:
        wrong = set(order[:count].tolist())
        return len(wrong) / len(positives | wrong) if wrong else 0.0

    return float(sum(errors[i] * (loss(k + 1) - loss(k)) for k, i in enumerate(order)))


def random_classes(seed: int, classes: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn((2, classes, 5, 6), generator=generator)
    target = torch.randint(0, classes - 1, (2, 5, 6), generator=generator).to(torch.uint8)  # the last class is absent
    target[torch.rand(target.shape, generator=generator) < 0.2] = 255
    return logits, target


@pytest.mark.parametrize("seed", range(3))
def test_the_lovasz_softmax_is_the_mean_of_its_definition_over_the_classes_that_occur(seed: int) -> None:
    logits, target = random_classes(seed)
    valid = (target != 255).numpy()
    probability = logits.softmax(dim=1).movedim(1, -1).numpy()[valid]
    truth = target.numpy()[valid]
    expected = [slow_lovasz(np.abs((truth == c) - probability[:, c]), truth == c) for c in range(3)]
    assert lovasz_softmax(logits, target).item() == pytest.approx(np.mean(expected), abs=1e-6)


def test_the_gradient_of_the_lovasz_softmax_agrees_with_finite_differences() -> None:
    logits, target = random_classes(7)
    logits = logits.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: lovasz_softmax(x, target), [logits], eps=1e-7, atol=1e-5)


def test_the_lovasz_softmax_per_image_is_the_mean_over_the_images_that_have_a_valid_pixel() -> None:
    logits, target = (torch.cat([part, part[:1]]) for part in random_classes(3))
    target[2] = 255
    each = [lovasz_softmax(logits[i : i + 1], target[i : i + 1]) for i in range(2)]
    assert torch.isclose(lovasz_softmax(logits, target, per_image=True), torch.stack(each).mean())


def test_with_many_classes_ignored_pixels_have_no_gradient_and_a_perfect_map_has_no_loss() -> None:
    logits, target = random_classes(5)
    logits.requires_grad_()
    loss, parts = total_loss(LossConfig(ce=1, lovasz_softmax=0.5), logits, target)
    loss.backward()  # type: ignore[no-untyped-call]
    assert parts.keys() == {"ce", "lovasz_softmax"}
    assert logits.grad is not None
    assert not logits.grad.movedim(1, -1)[target == 255].any()
    perfect = 40 * torch.nn.functional.one_hot(target.clamp(max=3).long(), 4).movedim(-1, 1).float()
    assert total_loss(LossConfig(ce=1, lovasz_softmax=0.5), perfect, target)[0].item() == pytest.approx(0, abs=1e-6)


def test_cross_entropy_of_many_classes_is_the_mean_over_the_valid_pixels() -> None:
    logits, target = random_classes(1)
    valid = target != 255
    truth = target[valid].long()
    expected = -logits.log_softmax(dim=1).movedim(1, -1)[valid].gather(1, truth[:, None]).mean()
    assert torch.isclose(cross_entropy(logits, target), expected)
    assert cross_entropy(logits, torch.full_like(target, 255)).item() == 0


def test_with_many_classes_targets_of_another_shape_are_refused() -> None:
    for loss in (cross_entropy, lovasz_softmax):
        with pytest.raises(ValueError, match=r"\(2, 3, 4, 4\).*\(2, 1, 4, 4\)"):
            loss(torch.zeros(2, 3, 4, 4), torch.zeros(2, 1, 4, 4))


def test_the_weight_of_the_lovasz_loss_rises_in_equal_steps() -> None:
    config = LossConfig(ce=1, lovasz_hinge=0.5, lovasz_ramp=0.25)
    found = [ramped(config, step, 16) for step in range(16)]
    assert [each.lovasz_hinge for each in found[:4]] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert found[4:] == [config] * 12
    assert {each.ce for each in found} == {1}
    assert ramped(LossConfig(ce=1, lovasz_hinge=0.5), 0, 16).lovasz_hinge == 0.5


def test_a_ramp_needs_another_loss_to_begin_with() -> None:
    with pytest.raises(ValueError, match="to begin with"):
        LossConfig(lovasz_hinge=1, lovasz_ramp=0.2)
