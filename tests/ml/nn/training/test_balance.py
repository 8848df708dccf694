"""Balancing computes sampling weights of chips, and chips are drawn in proportion to them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.config import Balance
from ml.nn.training.balance import LARGEST_FACTOR, draw, extra_copies, repetitions

COUNTS = np.array([[100, 0], [90, 10], [60, 40], [20, 80], [100, 0]])


@pytest.mark.parametrize("balance", ["oversample", "undersample"])
def test_balancing_draws_equally_many_pixels_of_both_classes(balance: Balance) -> None:
    drawn = (repetitions(COUNTS, balance)[:, None] * COUNTS).sum(axis=0)
    assert drawn[0] == pytest.approx(drawn[1])


def test_oversampling_repeats_rich_chips_and_undersampling_draws_poor_ones_less_often() -> None:
    more, fewer = repetitions(COUNTS, "oversample"), repetitions(COUNTS, "undersample")
    assert more.min() == 1
    assert fewer.max() == 1
    assert np.allclose(more / fewer, more[3]), "the same proportions"
    assert (repetitions(COUNTS, "none") == 1).all()


def test_the_repetition_of_a_chip_is_limited() -> None:
    hopeless = np.array([[1000, 1], [1000, 0], [1000, 0]])
    assert repetitions(hopeless, "oversample").tolist() == [LARGEST_FACTOR, 1, 1]


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=30), st.integers(1, 200), st.integers(0, 99))
def test_each_chip_is_drawn_its_expected_number_of_times_up_to_rounding(
    weights: list[float], draws: int, seed: int
) -> None:
    drawn = draw(np.array(weights), draws, np.random.default_rng(seed))
    expected = np.array(weights) * draws / sum(weights)
    assert len(drawn) == draws
    assert np.abs(np.bincount(drawn, minlength=len(weights)) - expected).max() < 1 + 1e-6


def test_with_many_classes_the_rarest_class_of_a_chip_decides_its_weight() -> None:
    counts = np.array([[900, 0, 0], [400, 90, 0], [400, 0, 10]])
    common, rare, rarest = repetitions(counts, "oversample")
    assert common == 1
    assert rare == pytest.approx((1800 / (3 * 90)) ** 0.5), "repeat factor sampling"
    assert LARGEST_FACTOR >= rarest > rare
    assert repetitions(counts, "undersample").max() == 1


def test_a_class_that_never_occurs_changes_nothing() -> None:
    counts = np.array([[50, 50, 0], [60, 40, 0]])
    assert np.isfinite(repetitions(counts, "oversample")).all()


def test_extra_copies_add_the_missing_pixels_on_average() -> None:
    counts = np.array([[100, 0], [90, 10], [60, 40], [20, 80], [100, 0]])
    copies, weights = extra_copies(counts)
    drawn = draw(weights, 10_000, np.random.default_rng(0))
    assert counts[drawn, 1].mean() * copies == pytest.approx(counts[:, 0].sum() - counts[:, 1].sum(), rel=0.2)
