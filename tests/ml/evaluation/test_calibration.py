"""The temperature is the one by which logits were multiplied, and reliability counts what is right in each bin."""

import numpy as np
import pytest

from ml.evaluation.calibration import BINS, reliability, temperature_of

RNG = np.random.default_rng


def drawn(outputs: int, pixels: int = 100_000) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels that were drawn by the probabilities of these logits."""
    rng = RNG(outputs)
    logits = rng.normal(0, 2, (outputs, pixels)).astype(np.float32)
    scores = np.concatenate([np.zeros_like(logits), logits]) if outputs == 1 else logits
    truth = (scores + rng.gumbel(size=scores.shape)).argmax(axis=0).astype(np.uint8)
    return logits, truth


@pytest.mark.parametrize("outputs", [1, 3, 7])
@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_temperature_is_the_factor_of_the_logits(outputs: int, factor: float) -> None:
    logits, truth = drawn(outputs)
    assert temperature_of(np.float32(factor) * logits, truth) == pytest.approx(factor, rel=0.02)


@pytest.mark.parametrize("outputs", [1, 4])
def test_calibrated_probabilities_have_a_small_error_and_too_sure_ones_a_large_one(outputs: int) -> None:
    logits, truth = drawn(outputs)
    sure = 3 * logits
    assert reliability(logits, truth).ece < 0.01
    assert reliability(sure, truth).ece > 0.05
    assert reliability(sure, truth, temperature_of(sure, truth)).ece < 0.01


def test_bins_have_the_pixels_the_mean_confidence_and_the_share_that_is_right() -> None:
    p = np.array([0.9, 0.9, 0.1, 0.63, 0.5], np.float64)  # of class 1: the last one is mapped as class 1
    found = reliability(np.log(p / (1 - p)).astype(np.float32)[None], np.array([1, 0, 0, 1, 1], np.uint8))
    assert (found.pixels[7], found.pixels[9], found.pixels[13]) == (1, 1, 3)
    assert sum(found.pixels) == 5
    assert found.confidence[13] == pytest.approx(0.9)
    assert found.accuracy[13] == pytest.approx(2 / 3)
    assert found.accuracy[7] == 1
    assert found.confidence[0] is None
    assert found.ece == pytest.approx((3 * (0.9 - 2 / 3) + 0.37 + 0.5) / 5)


def test_a_split_without_errors_has_the_lowest_temperature_and_one_without_labels_has_1() -> None:
    logits = np.array([[3.0, -3.0]], np.float32)
    assert temperature_of(logits, np.array([1, 0], np.uint8)) == pytest.approx(0.05)
    assert temperature_of(logits, np.array([0, 1], np.uint8)) == pytest.approx(20)
    empty = np.empty((1, 0), np.float32), np.empty(0, np.uint8)
    assert temperature_of(*empty) == 1
    assert (reliability(*empty).ece, len(reliability(*empty).pixels)) == (0, BINS)
