"""Variances of designs agree with computations by hand and with published ones."""

import numpy as np
import pytest

from ml.estimation.area_frame import frame_total
from ml.estimation.change import change_at_points, change_of_areas
from ml.estimation.estimate import estimate
from ml.estimation.sample import Points, Sample, Strata
from ml.estimation.student import t_quantile
from ml.estimation.values import wilson
from tests.ml.estimation.published import value_and_se

ALL = Strata(("all",), np.array([100.0]))


def test_the_cotton_of_a_stratified_area_frame_agrees_with_the_published_total() -> None:
    # PeerJ e5824, table 2
    found = frame_total(
        np.array([772.0, 207, 266, 496, 563]),
        np.array([8, 2, 3, 5, 6]),
        np.array([0.1650, 0.4500, 0.7700, 0.7760, 0.9367]),
        np.array([0.1092, 0.0242, 0.0016, 0.0020, 0.0064]),
    )
    assert round(found.value or 0, 1) == 1337.6
    assert round(found.cv or 0, 4) == 0.0711


def test_a_stratum_with_one_segment_has_no_total() -> None:
    assert frame_total(np.array([9.0]), np.array([1]), np.ones(1), np.zeros(1)).value is None


@pytest.mark.parametrize(("degrees", "quantile"), [(1, 12.706), (2, 4.303), (9, 2.262), (30, 2.042), (120, 1.980)])
def test_quantiles_of_t_agree_with_tables(degrees: int, quantile: float) -> None:
    assert t_quantile(degrees) == pytest.approx(quantile, abs=5e-4)


def test_clusters_count_in_place_of_points() -> None:
    # four clusters of 5 points, of 40: in two of them, all points are cane
    truly = np.repeat([1, 1, 0, 0], 5)
    clusters = Points(np.zeros(20, dtype=int), truly, truly, cluster=np.repeat([7, 3, 9, 1], 5))
    strata = Strata(("all",), np.array([100.0]), np.array([40.0]))
    area = estimate(Sample("cluster", strata, clusters), 2).rows[1].area
    se = 100 * np.sqrt((1 - 4 / 40) / 4 * np.var([1, 1, 0, 0], ddof=1))
    assert value_and_se(area) == pytest.approx((50, se))
    alike = 0.25 / (se / 100) ** 2  # points of a simple random sample with this error
    assert area.ci95 == pytest.approx([100 * end for end in wilson(0.5, alike, t_quantile(3))])
    as_points = estimate(Sample("random", ALL, clusters), 2).rows[1].area
    assert value_and_se(area)[1] > 2 * value_and_se(as_points)[1]


def test_clusters_that_all_agree_count_in_the_interval_too() -> None:
    truly = np.ones(20, dtype=int)
    points = Points(np.zeros(20, dtype=int), truly, truly, cluster=np.repeat(np.arange(4), 5))
    area = estimate(Sample("cluster", ALL, points), 2).rows[1].area
    assert area.ci95 == pytest.approx((100 * wilson(1, 4, t_quantile(3))[0], 100))


def test_many_clusters_have_the_interval_of_student_s_t() -> None:
    rng = np.random.default_rng(3)
    truly = np.repeat((rng.random(80) < 0.5).astype(int), 2)
    points = Points(np.zeros(160, dtype=int), truly, truly, cluster=np.repeat(np.arange(80), 2))
    area = estimate(Sample("cluster", ALL, points), 2).rows[1].area
    value, se = value_and_se(area)
    assert area.ci95 == pytest.approx((value - t_quantile(79) * se, value + t_quantile(79) * se))


def test_what_is_rare_has_the_interval_of_wilson() -> None:
    truly = np.repeat([1, 0], [8, 392])
    area = estimate(Sample("random", ALL, Points(np.zeros(400, dtype=int), truly, truly)), 2).rows[1].area
    assert area.ci95 == pytest.approx([100 * end for end in wilson(0.02, 399)])


def test_a_systematic_sample_is_computed_as_a_random_one() -> None:
    truly = np.arange(30) % 3 // 2
    points = Points(np.zeros(30, dtype=int), truly, truly)
    systematic, random = (estimate(Sample(design, ALL, points), 2).rows[1] for design in ("systematic", "random"))
    assert (systematic.area, systematic.method) == (random.area, "systematic")


def test_the_change_at_the_same_points_takes_their_covariance_into_account() -> None:
    before, after = np.repeat([1, 1, 0, 0], [40, 5, 3, 52]), np.repeat([1, 0, 1, 0], [40, 5, 3, 52])
    sample = Sample("random", ALL, Points(np.zeros(100, dtype=int), before, after))
    change = change_at_points(sample, before.astype(float), after.astype(float)).net
    seasons = np.cov(before, after)
    variance = seasons[0, 0] + seasons[1, 1] - 2 * seasons[0, 1]
    assert value_and_se(change) == pytest.approx((-2, 100 * np.sqrt(variance / 100)))
    alone = [
        estimate(Sample("random", ALL, Points(np.zeros(100, dtype=int), truth, truth)), 2).rows[1].area
        for truth in (before, after)
    ]
    apart = change_of_areas(*alone)
    assert apart.value == pytest.approx(-2)
    assert apart.se == pytest.approx(np.hypot(alone[0].se or 0, alone[1].se or 0))
    assert apart.ci95 == pytest.approx((-2 - 1.96 * (apart.se or 0), -2 + 1.96 * (apart.se or 0)))
    assert value_and_se(change)[1] < value_and_se(apart)[1] / 2


def test_no_change_at_any_point_leaves_room_for_both() -> None:
    truth = np.repeat([1.0, 0.0], 25)
    sample = Sample("random", ALL, Points(np.zeros(50, dtype=int), truth.astype(int), truth.astype(int)))
    found = change_at_points(sample, truth, truth).net
    missed = 100 * wilson(0, 50)[1]
    assert value_and_se(found) == (0, 0)
    assert found.ci95 == pytest.approx((-missed, missed))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"mapped": [0]}, "different lengths"),
        ({"stratum": [0, 5]}, "a stratum that is not there"),
        ({}, "the cluster of each point"),
    ],
)
def test_a_sample_that_does_not_fit_together_is_refused(columns: dict[str, list[int]], message: str) -> None:
    both = {name: np.array(columns.get(name, [0, 0])) for name in ("stratum", "mapped", "reference")}
    with pytest.raises(ValueError, match=message):
        Sample("cluster", ALL, Points(**both))
