"""Of many samples of a province, about 95 % of the intervals cover the truth; `benchmarks/coverage.py` draws more."""

from functools import cache

import pytest

from benchmarks.coverage import DESIGNS, Coverage, covered, provinces, zones_covered
from ml.estimation.sample import Design
from tests.rounds import rounds


@cache
def found(design: Design) -> tuple[Coverage, Coverage]:
    return covered(provinces()[0], design, rounds(250))


@pytest.mark.parametrize("design", DESIGNS)
def test_the_intervals_of_each_design_cover_the_truth(design: Design) -> None:
    for coverage in found(design):
        assert 0.90 <= coverage.covered <= 1, "a systematic sample is known to cover more"
        assert abs(coverage.bias) < 0.03


@pytest.mark.parametrize("design", DESIGNS)
def test_a_good_map_as_auxiliary_never_widens_the_intervals(design: Design) -> None:
    plain, helped = found(design)
    assert helped.half_width <= plain.half_width


def test_with_a_good_map_half_of_the_labels_give_the_same_precision() -> None:
    plain, helped = found("random")
    assert helped.half_width <= plain.half_width / 2**0.5


@pytest.mark.parametrize("design", DESIGNS)
def test_the_intervals_with_a_poor_map_of_a_rare_class_cover_the_truth(design: Design) -> None:
    _, helped = covered(provinces()[2], design, rounds(250))
    assert 0.91 <= helped.covered <= 1, "the interval of residuals alone covers 85 to 89 % with strata and clusters"


def test_the_intervals_of_zones_with_strata_of_their_own_cover_the_truth() -> None:
    found = zones_covered(provinces()[1], rounds(20), design=None)
    assert set(found) == {"stratified"}
    assert 0.92 <= found["stratified"].covered <= 0.99
