"""Estimates from points agree with the digits that papers print."""

import numpy as np
import pytest

from ml.estimation.estimate import estimate
from ml.estimation.sample import Points, Sample, Strata
from tests.ml.estimation import published


@pytest.mark.parametrize(
    ("with_units", "errors"),
    [(True, (0.08225, 0.06428, 0.08464, 0.12478, 0.11655)), (False, (0.08226, 0.06429, 0.08466, 0.12480, 0.11657))],
    ids=["with the finite population correction", "without"],
)
def test_strata_that_are_not_the_classes_of_the_map_agree_with_stehman_2014(
    with_units: bool, errors: tuple[float, ...]
) -> None:
    found = estimate(published.stehman(with_units=with_units), 4)
    class_a, class_c = (found.rows[k].area.scaled(1 / 100_000) for k in (0, 2))
    estimates = (class_a, class_c, found.overall, found.users[1], found.producers[1])
    assert [one.value for one in estimates] == pytest.approx([0.35, 0.20, 0.63, 0.574468, 0.794118], abs=5e-7)
    assert [one.se for one in estimates] == pytest.approx(errors, abs=6e-6)
    assert found.shares is not None
    assert found.shares[1, 2] == pytest.approx(0.08)
    assert found.shares.sum() == pytest.approx(1)


def test_strata_that_are_the_classes_of_the_map_agree_with_olofsson_2014() -> None:
    counts = [[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]]
    sample = published.of_counts(counts, [18_000, 13_500, 288_000, 580_500])
    found = estimate(sample, 4)
    areas = [row.area for row in found.rows]
    assert [round(area.value or 0, 3) for area in areas] == [21157.762, 11686.154, 285769.930, 581386.154]
    assert [round(1.96 * (area.se or 0), 3) for area in areas] == [6157.634, 3755.826, 15509.836, 16281.656]
    assert found.counts.tolist() == counts
    low, high = areas[0].ci95 or (0.0, 0.0)
    assert low > 21157.762 - 6157.634, "all of it can hardly be gone: five of six points on it are right"
    assert high > 21157.762 + 6157.634, "no point on the gain is of it, but 150,000 pixels may hide some"


def test_a_stratum_without_a_point_of_a_class_leaves_room_for_some() -> None:
    """Of 990 ha that are mapped as forest, 1 % is something else, which 170 points mostly miss."""
    rng = np.random.default_rng(0)
    covered = {"published": 0, "found": 0}
    for _ in range(400):
        other = rng.binomial(170, 0.01)
        found = estimate(published.of_counts([[30, 0], [other, 170 - other]], [10.0, 990.0]), 2).rows[0].area
        assert found.value is not None and found.se is not None and found.ci95 is not None
        covered["published"] += abs(found.value - 19.9) <= 1.96 * found.se
        covered["found"] += found.ci95[0] <= 19.9 <= found.ci95[1]
    assert covered["found"] >= 0.95 * 400 - 10 > covered["published"]


@pytest.mark.parametrize(("drawn", "why"), [(1, "a single sample point or cluster"), (0, "no sample point")])
def test_a_stratum_with_less_than_two_points_leaves_nothing_to_estimate_and_is_named(drawn: int, why: str) -> None:
    stratum = np.repeat([0, 1], [5, drawn])
    sample = Sample("stratified", Strata(("dry", "wet"), np.array([10.0, 90.0])), Points(stratum, stratum, stratum))
    found = estimate(sample, 2)
    assert [row.area.value for row in found.rows] == [None, None]
    assert f"Stratum wet has {why}" in str(found.rows[0].area.why)
    assert found.shares is None
