"""Zones have estimates of their own points, or say that they have too few; all add up if wanted."""

from dataclasses import replace

import numpy as np
import pytest

from ml.estimation.benchmark import benchmarked, raked
from ml.estimation.estimate import estimate
from ml.estimation.rows import AreaRow
from ml.estimation.sample import NO_ZONE, Points, Sample, Strata
from ml.estimation.stratified import stratified
from ml.estimation.values import nothing
from ml.estimation.zones import Auxiliary, Zones
from tests.ml.estimation.published import value_and_se

POINTS = (60, 50, 40, 30, 5, 1, 0)  # in each zone; 4 more lie in none
MAPPED_HA = np.array([[60.0, 40], [80, 20], [30, 70], [50, 50], [40, 10], [9, 1], [7, 3]])


def sampled() -> Sample:
    """A sample of seven zones, whose strata are the classes of a map that is right at nine of ten points."""
    rng = np.random.default_rng(5)
    zone = np.repeat([*range(len(POINTS)), NO_ZONE], [*POINTS, 4])
    mapped = (rng.random(len(zone)) < 0.4).astype(int)
    truly = np.where(rng.random(len(zone)) < 0.9, mapped, 1 - mapped)
    strata = Strata(("other", "cane"), MAPPED_HA.sum(axis=0) + np.array([3.0, 2.0]))
    return Sample("stratified", strata, Points(mapped, mapped, truly, zone=zone))


def rows() -> list[AreaRow]:
    return [row for row in estimate(sampled(), 2, zones=Zones(MAPPED_HA)).rows if row.zone is not None]


def test_a_zone_with_few_points_says_so_and_which_estimate_it_has() -> None:
    found = [row for row in rows() if row.class_index == 1]
    assert [row.points for row in found] == list(POINTS)
    assert [row.too_few for row in found] == [False] * 4 + [True] * 3
    assert [row.method for row in found] == ["regression"] * 4 + ["composite", "synthetic", "synthetic"]
    for row, mapped in zip(found[:5], MAPPED_HA, strict=False):
        assert row.area.ci95 is not None and row.area.value is not None
        assert 0 <= row.area.ci95[0] < row.area.value < row.area.ci95[1] <= mapped.sum()
    for row in found[5:]:
        assert row.area.value is not None and (row.area.se, row.area.ci95) == (None, None)
        assert "Fewer than two points" in str(row.area.why)


def test_the_synthetic_estimate_has_the_error_rates_of_the_whole_sample() -> None:
    sample = sampled()
    counts = np.zeros((2, 2))
    np.add.at(counts, (sample.points.mapped, sample.points.reference), 1)
    rates = counts[:, 1] / counts.sum(axis=1)
    assert rows()[-1].area.value == pytest.approx(7 * rates[0] + 3 * rates[1])


def test_strata_within_zones_give_the_zones_the_stratified_estimate() -> None:
    rng = np.random.default_rng(6)
    stratum = np.repeat(np.arange(4), 25)  # other and cane of zone 0, then of zone 1
    mapped, zone = stratum % 2, stratum // 2
    truly = np.where(rng.random(100) < 0.8, mapped, 1 - mapped)
    area_ha = np.array([60.0, 40.0, 80.0, 20.0])
    sample = Sample("stratified", Strata(tuple("abcd"), area_ha), Points(stratum, mapped, truly, zone=zone))
    found = estimate(sample, 2, zones=Zones(area_ha.reshape(2, 2)))
    by_zone = [row for row in found.rows if row.zone is not None and row.class_index == 1]
    shares = [truly[stratum == h].mean() for h in range(4)]
    for z, row in enumerate(by_zone):
        of_zone = [area_ha[h] * shares[h] for h in (2 * z, 2 * z + 1)]
        variances = [area_ha[h] ** 2 * shares[h] * (1 - shares[h]) / 24 for h in (2 * z, 2 * z + 1)]
        assert value_and_se(row.area) == pytest.approx((sum(of_zone), np.sqrt(sum(variances))))
    whole = found.rows[1].area.value
    assert sum(row.area.value or 0 for row in by_zone) == pytest.approx(whole), "zones add up to all ground"


def test_few_zones_cannot_tell_how_much_zones_differ() -> None:
    found = estimate(sampled(), 2, zones=Zones(MAPPED_HA), min_points=45).rows[-5]
    assert (found.zone, found.method, found.area.se, found.area.ci95) == (4, "composite", None, None)
    assert "Fewer than 3 zones" in str(found.area.why)
    assert found.area.value is not None


def test_a_zone_of_a_cluster_sample_with_few_points_has_no_interval() -> None:
    rng = np.random.default_rng(10)
    zone, cluster = np.repeat([0, 1, 2, 3], [40, 40, 40, 8]), np.repeat(np.arange(32), 4)
    mapped = rng.integers(2, size=128)
    truly = np.where(rng.random(128) < 0.8, mapped, 1 - mapped)
    points = Points(np.zeros(128, dtype=int), mapped, truly, zone, cluster)
    sample = Sample("cluster", Strata(("all",), np.array([400.0])), points)
    last = estimate(sample, 2, zones=Zones(np.full((4, 2), 50.0))).rows[-1]
    assert (last.method, last.area.ci95) == ("composite", None)
    assert "points of a cluster are alike" in str(last.area.why)


def by_zone() -> tuple[Sample, Zones]:
    """A sample with strata for each class of two zones."""
    rng = np.random.default_rng(6)
    stratum = np.repeat(np.arange(4), 25)
    mapped, zone = stratum % 2, stratum // 2
    truly = np.where(rng.random(100) < 0.8, mapped, 1 - mapped)
    area_ha = np.array([60.0, 40.0, 80.0, 20.0])
    sample = Sample("stratified", Strata(tuple("abcd"), area_ha), Points(stratum, mapped, truly, zone=zone))
    return sample, Zones(area_ha.reshape(2, 2), strata=np.array([[1, 1, 0, 0], [0, 0, 1, 1]], dtype=bool))


def test_a_zone_with_strata_of_its_own_has_their_estimate() -> None:
    sample, zones = by_zone()
    found = estimate(sample, 2, zones=zones).rows[2:]
    assert {row.method for row in found} == {"stratified"}
    counts = np.zeros((2, 2, 2), dtype=int)
    np.add.at(counts, (sample.points.stratum // 2, sample.points.mapped, sample.points.reference), 1)
    for row in found:
        alone = stratified(counts[row.zone or 0], zones.mapped_ha[row.zone or 0], ("other", "cane"))
        assert value_and_se(row.area) == pytest.approx(value_and_se(alone.areas[row.class_index]))
    whole = [row.area.value or 0 for row in found if row.class_index == 1]
    assert sum(whole) == pytest.approx(estimate(sample, 2).rows[1].area.value)


def test_zones_with_strata_of_their_own_add_up_to_the_whole_if_pixels_differ_in_size() -> None:
    sample, zones = by_zone()
    size = np.random.default_rng(1).uniform(0.5, 1.5, len(sample.points.stratum))
    sized = replace(sample, points=replace(sample.points, size=size))
    found = estimate(sized, 2, zones=zones).rows
    (whole,) = [row.area.value for row in found if row.zone is None and row.class_index == 1]
    of_zones = [row.area.value for row in found if row.zone is not None and row.class_index == 1]
    assert sum(value or 0 for value in of_zones) == pytest.approx(whole, rel=1e-12)
    plain = estimate(sample, 2, zones=zones).rows
    assert whole != pytest.approx([row.area.value for row in plain if row.zone is None][1], rel=1e-3)


def test_a_zone_without_answers_leaves_the_others_their_estimates() -> None:
    sample, zones = by_zone()
    first = sample.points.stratum < 2
    mapped, truly, zone = (sample.points.stratum[first], sample.points.reference[first], np.zeros(50, dtype=int))
    rows = estimate(replace(sample, points=Points(mapped, mapped, truly, zone=zone)), 2, zones=zones).rows
    assert [row.area.value is None for row in rows] == [True, True, False, False, True, True]
    assert "Stratum c has no sample point" in str(rows[0].area.why)


def test_a_stratum_of_which_every_pixel_was_seen_needs_no_second_one() -> None:
    stratum, mapped = np.repeat([0, 1], [20, 1]), np.repeat([0, 1], [20, 1])
    strata = Strata(("other", "cane"), np.array([100.0, 0.01]), np.array([10_000.0, 1.0]))
    truly = np.repeat([0, 1, 1], [18, 2, 1])
    found = estimate(Sample("stratified", strata, Points(stratum, mapped, truly)), 2).rows[1].area
    assert value_and_se(found) == pytest.approx((10.01, 100 * np.sqrt(0.1 * 0.9 / 19 * (1 - 20 / 10_000))))


def test_benchmarked_zones_add_up_to_their_areas_and_to_the_classes() -> None:
    whole = MAPPED_HA.sum()
    classes = np.array([0.58, 0.42]) * whole
    found = benchmarked(rows(), MAPPED_HA.sum(axis=1), classes)
    table = np.array([row.area.value for row in found]).reshape(-1, 2)
    assert table.sum(axis=0) == pytest.approx(classes, abs=1e-4 * whole / 1e4)
    assert table.sum(axis=1) == pytest.approx(MAPPED_HA.sum(axis=1), abs=1e-8 * whole)
    assert [row.method for row in found] == [row.method for row in rows()]


def test_what_cannot_add_up_is_refused() -> None:
    with pytest.raises(ValueError, match="no scaling"):
        raked(np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([1.0, 1.0]), np.array([1.0, 1.0]))
    with pytest.raises(ValueError, match="the same sum"):
        benchmarked(rows(), MAPPED_HA.sum(axis=1), np.array([1.0, 1.0]))
    unknown = [AreaRow(row.zone, row.class_index, nothing("-"), 0, "synthetic") for row in rows()]
    with pytest.raises(ValueError, match="need an estimate"):
        benchmarked(unknown, MAPPED_HA.sum(axis=1), MAPPED_HA.sum(axis=0))


def test_zones_need_what_tells_of_them() -> None:
    sample = sampled()
    with pytest.raises(ValueError, match="totals of the auxiliary by zone"):
        estimate(sample, 2, zones=Zones(MAPPED_HA), auxiliary=Auxiliary(np.zeros((190, 2)), np.zeros(2)))
