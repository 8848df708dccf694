"""Balancing: how often chips are wanted, and that they are drawn so often."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.config import Balance
from ml.nn.training.balance import LARGEST_FACTOR, draw, extra_copies, repetitions

COUNTS = np.array([[100, 0], [90, 10], [60, 40], [20, 80], [100, 0]])


@pytest.mark.parametrize("balance", ["oversample", "undersample"])
def test_balancing_draws_as_many_pixels_of_either_class(balance: Balance) -> None:
    drawn = (repetitions(COUNTS, balance)[:, None] * COUNTS).sum(axis=0)
    assert drawn[0] == pytest.approx(drawn[1])


def test_oversampling_repeats_rich_chips_and_undersampling_leaves_out_poor_ones() -> None:
    more, fewer = repetitions(COUNTS, "oversample"), repetitions(COUNTS, "undersample")
    assert more.min() == 1
    assert fewer.max() == 1
    assert np.allclose(more / fewer, more[3]), "the same proportions"
    assert (repetitions(COUNTS, "none") == 1).all()


def test_no_chip_is_repeated_without_bound() -> None:
    hopeless = np.array([[1000, 1], [1000, 0], [1000, 0]])
    assert repetitions(hopeless, "oversample").tolist() == [LARGEST_FACTOR, 1, 1]


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=30), st.integers(1, 200), st.integers(0, 99))
def test_each_chip_is_drawn_its_expected_number_of_times_up_to_rounding(
    wanted: list[float], draws: int, seed: int
) -> None:
    drawn = draw(np.array(wanted), draws, np.random.default_rng(seed))
    expected = np.array(wanted) * draws / sum(wanted)
    assert len(drawn) == draws
    assert np.abs(np.bincount(drawn, minlength=len(wanted)) - expected).max() < 1 + 1e-6


def test_of_many_classes_a_chip_is_wanted_as_often_as_its_rarest_class() -> None:
    counts = np.array([[900, 0, 0], [400, 90, 0], [400, 0, 10]])
    common, rare, rarest = repetitions(counts, "oversample")
    assert common == 1
    assert rare == pytest.approx((1800 / (3 * 90)) ** 0.5), "repeat factor sampling"
    assert LARGEST_FACTOR >= rarest > rare
    assert repetitions(counts, "undersample").max() == 1


def test_a_class_that_never_occurs_changes_nothing() -> None:
    counts = np.array([[50, 50, 0], [60, 40, 0]])
    assert np.isfinite(repetitions(counts, "oversample")).all()


def test_extra_copies_make_up_for_the_missing_pixels_on_average() -> None:
    counts = np.array([[100, 0], [90, 10], [60, 40], [20, 80], [100, 0]])
    copies, wanted = extra_copies(counts)
    drawn = draw(wanted, 10_000, np.random.default_rng(0))
    assert counts[drawn, 1].mean() * copies == pytest.approx(counts[:, 0].sum() - counts[:, 1].sum(), rel=0.2)
