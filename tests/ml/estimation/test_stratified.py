"""Areas and accuracies from tables of counts agree with papers, and their intervals never have a width of 0."""

import itertools

import numpy as np
import pytest

from ml.estimation.estimate import estimate
from ml.estimation.stratified import Stratified, stratified
from ml.estimation.values import Estimate, wilson
from tests.ml.estimation import published


def of(counts: list[list[int]], mapped: list[float]) -> Stratified:
    return stratified(np.array(counts), np.array(mapped, dtype=float), [str(k) for k in range(1, len(mapped) + 1)])


def values(estimates: tuple[Estimate, ...], digits: int) -> list[float]:
    return [round(one.value or 0.0, digits) for one in estimates]


def errors(estimates: tuple[Estimate, ...], digits: int, factor: float = 1.0) -> list[float]:
    return [round(factor * (one.se or 0.0), digits) for one in estimates]


def test_olofsson_2014_table_8() -> None:
    found = of(
        [[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]],
        [200_000 * 0.09, 150_000 * 0.09, 3_200_000 * 0.09, 6_450_000 * 0.09],
    )
    assert values(found.areas, 3) == [21157.762, 11686.154, 285769.930, 581386.154]
    assert errors(found.areas, 3, 1.96) == [6157.634, 3755.826, 15509.836, 16281.656]
    assert values((found.overall,), 6) == [0.946512]
    assert errors((found.overall,), 7) == [0.0094304]
    assert values(found.users, 4) == [0.88, 0.7333, 0.9273, 0.9631]
    assert values(found.producers, 4) == [0.7487, 0.8472, 0.9345, 0.9616]
    for area in found.areas:
        assert area.value is not None and area.se is not None
        assert area.ci95 == pytest.approx((area.value - 1.96 * area.se, area.value + 1.96 * area.se), rel=1e-14)


def test_olofsson_2013_example_1() -> None:
    found = of([[97, 0, 3], [3, 279, 18], [2, 1, 97]], [22353, 1122543, 610228])
    assert values(found.areas, 2) == [45112.40, 1050067.27, 659944.33]
    assert errors(found.areas, 2) == [10751.40, 17652.04, 18635.86]
    assert (values((found.overall,), 6), errors((found.overall,), 7)) == ([0.944417], [0.0111644])
    assert values(found.producers, 5)[0] == 0.48063


def test_liaoning_2017() -> None:
    found = of([[248, 26], [15, 179]], [5567250.45, 9095010.53])
    assert (values(found.areas, 2)[0], errors(found.areas, 2, 1.96)[0]) == (5742193.67, 393601.52)
    assert (values((found.overall,), 6), errors((found.overall,), 7)) == ([0.916009], [0.0136962])
    assert values(found.users, 4) == [0.9051, 0.9227]
    assert values(found.producers, 4) == [0.8775, 0.9408]


def test_counts_and_points_tell_the_same_values_and_errors() -> None:
    counts, mapped = [[20, 3, 1], [2, 30, 0], [0, 4, 25]], [500.0, 700.0, 90.0]
    by_counts, by_points = of(counts, mapped), estimate(published.of_counts(counts, mapped), 3)
    rows = tuple(row.area for row in by_points.rows)
    pairs = [
        (by_counts.overall, by_points.overall),
        *zip(by_counts.areas, rows, strict=True),
        *zip(by_counts.users, by_points.users, strict=True),
        *zip(by_counts.producers, by_points.producers, strict=True),
    ]
    for one, other in pairs:
        assert one.value == pytest.approx(other.value)
        assert one.se == pytest.approx(other.se)


@pytest.mark.parametrize("counts", list(itertools.product([[50, 0], [0, 50]], repeat=2)), ids=str)
def test_points_that_all_agree_leave_room_for_what_they_missed(counts: tuple[list[int], list[int]]) -> None:
    found = of(list(counts), [300.0, 700.0])
    known = [one for one in (*found.areas, found.overall, *found.users, *found.producers) if one.ci95]
    assert len(known) >= 6, "a class without any true point has no producer's accuracy"
    for one in known:
        assert one.ci95 is not None and one.value is not None
        low, high = one.ci95
        assert one.se == 0
        assert low < high
        assert low <= one.value <= high
    assert sum(area.value or 0 for area in found.areas) == pytest.approx(1000)


def test_none_of_n_in_the_only_stratum_has_the_interval_of_wilson() -> None:
    found = of([[0, 100], [0, 100]], [0.0, 400.0])
    assert found.areas[0].ci95 == pytest.approx((0, 400 * wilson(0, 100)[1]))
    assert wilson(0, 100) == pytest.approx((0, 0.036995), abs=1e-6), "3.8416 / 103.8416"
    assert found.producers[0].value is None
    assert "truly of the class" in str(found.producers[0].why)


def test_an_interval_is_cut_off_at_nothing_and_at_all() -> None:
    found = of([[2, 1], [1, 40]], [10.0, 990.0])
    half = 1.96 * np.sqrt(10**2 * (2 / 9) / 2 + 990**2 * (40 / 41**2) / 40)
    estimate = 10 * 2 / 3 + 990 / 41
    assert found.areas[0].ci95 == pytest.approx((0.0, estimate + half))
    assert found.areas[1].ci95 == pytest.approx((1000 - estimate - half, 1000.0))


@pytest.mark.parametrize(("row", "why"), [([0, 0], "no sample point"), ([1, 0], "a single sample point")])
def test_a_class_without_enough_points_is_named_and_leaves_no_area(row: list[int], why: str) -> None:
    found = of([row, [3, 40]], [10.0, 990.0])
    assert {area.value for area in found.areas} == {None}
    assert "Class 1 " in str(found.areas[0].why)
    assert why in str(found.areas[0].why)
    assert found.users[1].value == pytest.approx(40 / 43), "its own points still tell of the other class"
    assert found.shares is None


def test_it_is_said_where_a_stratum_shows_so_few_points_that_the_interval_is_too_narrow() -> None:
    found = of([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]], [18_000, 13_500, 288_000, 580_500])
    told = [note.detail.partition(".")[0] for note in found.notes]
    assert "0 of the 165 points mapped as 3 are truly 2" in told
    assert not of([[97, 30], [30, 90]], [500.0, 500.0]).notes
