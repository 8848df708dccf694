"""Check printed metrics: those of the paper, those of any confusion, and impossible ones."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ml.evaluation.consistency import check
from ml.evaluation.metrics import Metrics

EXACT = 12  # decimals
PAPER = [((0.8942, 0.7462, 0.7780), (0.7715, 0.7742)), ((0.9167, 0.7696, 0.8034), (0.8086, 0.8101))]
pixels = st.integers(0, 10**6)


@pytest.mark.parametrize(("row", "allowed"), PAPER, ids=["CE", "CE + Lovász"])
def test_no_confusion_has_the_metrics_of_the_papers_table(
    row: tuple[float, float, float], allowed: tuple[float, float]
) -> None:
    accuracy, iou, kappa = row
    exact, printed = check(accuracy, iou, kappa, EXACT), check(accuracy, iou, kappa)
    assert not exact.possible
    assert exact.kappa_range == pytest.approx(allowed, abs=5e-5)
    assert not printed.possible
    assert printed.kappa_range == pytest.approx(allowed, abs=2e-4), "rounding makes the range a little wider"
    assert f"a kappa of {kappa:.4f} cannot come from the same confusion" in printed.statement


@given(pixels, pixels, pixels, pixels, st.sampled_from([1, 2, 4, EXACT]))
def test_the_metrics_of_any_confusion_are_possible(tn: int, fp: int, fn: int, tp: int, decimals: int) -> None:
    metrics = Metrics.from_confusion(np.array([[tn, fp], [fn, tp]]))
    assume(metrics.iou is not None and metrics.kappa is not None)
    accuracy, iou, kappa = (round(value or 0, decimals) for value in (metrics.accuracy, metrics.iou, metrics.kappa))
    verdict = check(accuracy, iou, kappa, decimals)
    assert verdict.possible, verdict.statement


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_both_ends_of_the_range_are_the_kappas_of_some_confusion(accuracy: float, share: float) -> None:
    iou, wrong = share * accuracy, 1 - accuracy
    tp = iou * wrong / (1 - iou)
    shares = [np.array([[1 - tp - wrong, fp], [wrong - fp, tp]]) for fp in (wrong / 2, wrong)]
    ends = [Metrics.from_confusion(np.round(of_all * 1e12).astype(np.int64)).kappa for of_all in shares]
    assert check(accuracy, iou, 0, EXACT).kappa_range == pytest.approx(ends, abs=1e-6)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_the_range_covers_all_true_metrics_with_the_same_rounded_values(
    a: float, j: float, da: float, dj: float, at: float
) -> None:
    accuracy, iou = round(a, 1), round(j, 1)
    true_accuracy, true_iou = accuracy - 0.05 + da / 10, iou - 0.05 + dj / 10
    assume(0 < true_accuracy < 1 and 0 <= true_iou <= true_accuracy)
    wrong = 1 - true_accuracy
    tp = true_iou * wrong / (1 - true_iou)
    kappa = 1 - wrong / (2 * tp + wrong - 2 * (tp + at * wrong) * (tp + (1 - at) * wrong))
    low, high = check(accuracy, iou, 0, 1).kappa_range or (1, -1)
    assert low - 1e-9 <= kappa <= high + 1e-9


def test_the_lowest_kappa_may_be_that_of_a_confusion_without_true_negatives() -> None:
    # an accuracy of 0.79 is within the rounding; with fp = fn and no tn, kappa is -0.21 / 1.79
    low, _ = check(0.84, 0.8, 0, 1).kappa_range or (0, 0)
    assert low == pytest.approx(-0.21 / 1.79)


def test_the_highest_kappa_may_lie_inside_the_range_of_rounding() -> None:
    # at an accuracy of 0.65 it has tp = 0.325, fp = 0.35: the shares of class 1 in truth and map add up to 1
    _, high = check(0.6, 0.5, 0, 1).kappa_range or (0, 0)
    assert high == pytest.approx(1 - 0.35 / (1 - 2 * 0.325 * 0.675))


def test_an_iou_above_the_accuracy_is_a_contradiction_by_itself() -> None:
    verdict = check(0.5, 0.9, 0.2)
    assert (verdict.possible, verdict.kappa_range) == (False, None)
    assert "an IoU is never above the accuracy" in verdict.statement


@pytest.mark.parametrize(
    ("row", "allowed"),
    [
        ((1, 1, 1), (0, 1)),  # a few of a million pixels may be wrong, so kappa may be anything
        ((1, 0.5, 0.6667), (0.6666, 0.6667)),  # a very rare class: kappa is 2 iou / (1 + iou)
        ((0.8, 0.8, 0), (-0.1111, 0.004)),  # all pixels are class 1, in the map or in the truth
        ((0.5, 0, -0.2), (-0.3334, 0)),
        ((0, 0, -1), (-1, 0)),
    ],
)
def test_metrics_at_the_ends_of_their_ranges_are_possible(
    row: tuple[float, float, float], allowed: tuple[float, float]
) -> None:
    verdict = check(*row)
    assert verdict.possible
    assert verdict.kappa_range == pytest.approx(allowed, abs=1.2e-4)


@pytest.mark.parametrize("row", [(1.1, 0.5, 0.5), (0.9, -0.1, 0.5), (89.42, 74.62, 77.8), (0.9, 0.5, float("nan"))])
def test_a_metric_outside_its_range_is_refused(row: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="lie between"):
        check(*row)
