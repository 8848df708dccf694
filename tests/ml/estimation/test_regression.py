"""The regression estimator is that of textbooks, and prediction-powered inference."""

import numpy as np
import pytest

from benchmarks.coverage import DESIGNS
from ml.estimation.estimate import estimate
from ml.estimation.jackknife import left_out, spread_of
from ml.estimation.ratio import linearised
from ml.estimation.regression import regression, slope
from ml.estimation.sample import Design, Points, Sample, Strata
from ml.estimation.zones import Auxiliary
from tests.ml.estimation.published import value_and_se


def sampled(seed: int, size: int = 200) -> tuple[Sample, np.ndarray, np.ndarray]:
    """A simple random sample of 1,000 ha its truth, and a map that tells much of it."""
    rng = np.random.default_rng(seed)
    probability = rng.beta(0.4, 0.6, size)
    truly = (rng.random(size) < probability).astype(int)
    points = Points(np.zeros(size, dtype=int), (probability > 0.5).astype(int), truly)
    return Sample("random", Strata(("all",), np.array([1000.0])), points), truly.astype(float), probability


def test_the_slope_of_a_simple_random_sample_is_that_of_least_squares() -> None:
    sample, truly, probability = sampled(0)
    assert slope(sample, truly, probability) == pytest.approx(np.polyfit(probability, truly, 1)[0])


def test_it_is_prediction_powered_inference_for_a_mean() -> None:
    sample, truly, probability = sampled(1)
    over_the_map = 0.41
    # PPI++ (arXiv 2311.01453) for a mean, with predictions for all of the map
    tuning = np.cov(truly, probability)[0, 1] / np.var(probability, ddof=1)
    mean = tuning * over_the_map + np.mean(truly - tuning * probability)
    error = np.std(truly - tuning * probability, ddof=1) / np.sqrt(len(truly))
    found = regression(sample, truly, probability, 1000 * over_the_map, 1000.0)
    value, se = value_and_se(found)
    assert value == pytest.approx(1000 * mean)
    assert 1 <= se / (1000 * error) < 1.05, "the slope comes from the same points, which the formula forgets"


def test_a_map_that_tells_nothing_leaves_the_estimate_of_the_sample() -> None:
    sample, truly, _ = sampled(2)
    plain = estimate(sample, 2).rows[1].area
    constant = regression(sample, truly, np.full(len(truly), 0.3), 300.0, 1000.0)
    assert value_and_se(constant) == pytest.approx(value_and_se(plain))


def test_a_good_map_makes_the_interval_narrower() -> None:
    sample, _, probability = sampled(3)
    both = Auxiliary(np.stack([1 - probability, probability], axis=1), np.array([600.0, 400.0]))
    plain, helped = (estimate(sample, 2, auxiliary=auxiliary).rows[1] for auxiliary in (None, both))
    assert (plain.method, helped.method) == ("random", "regression")
    assert value_and_se(helped.area)[1] < 0.8 * value_and_se(plain.area)[1]


def test_a_map_that_is_right_at_all_points_still_has_an_interval() -> None:
    sample, truly, _ = sampled(4, size=50)
    found = regression(sample, truly, truly, 437.0, 1000.0)
    assert value_and_se(found) == pytest.approx((437, 0), abs=1e-9)
    assert found.ci95 == pytest.approx((437 - 71.3, 437 + 71.3), abs=0.1), "3.8416 / 53.8416 of 1,000 ha"


@pytest.mark.parametrize("design", DESIGNS)
def test_the_jackknife_is_that_of_samples_without_one_unit(design: Design) -> None:
    rng = np.random.default_rng(7)
    stratum = rng.integers(3, size=60) if design == "stratified" else np.zeros(60, dtype=int)
    truly = rng.random(60) < 0.3
    auxiliary, members = rng.random(60) / 2 + 0.3 * truly, rng.random(60) < 0.6
    area_ha = np.array([10.0, 30.0, 60.0]) if design == "stratified" else np.array([100.0])
    points = Points(stratum, stratum, truly.astype(int), cluster=rng.integers(12, size=60))
    sample = Sample(design, Strata(("a", "b", "c")[: len(area_ha)], area_ha), points)
    found = left_out(sample, truly.astype(float), auxiliary, members, 0.4)
    for number, without in enumerate(found):
        kept = sample.units[0] != number
        assert points.cluster is not None
        rest = Points(stratum[kept], stratum[kept], truly[kept].astype(int), cluster=points.cluster[kept])
        less = Sample(design, sample.strata, rest)
        steepness = slope(less, truly[kept].astype(float), auxiliary[kept])
        residuals = np.where(members, truly - steepness * auxiliary, 0.0)[kept]
        mean, _ = linearised(less, residuals, members[kept].astype(float))
        assert without == pytest.approx(steepness * 0.4 + mean)


def test_few_points_that_differ_leave_few_degrees_of_freedom() -> None:
    units = Points(*(np.zeros(200, dtype=int),) * 3)
    sample = Sample("random", Strata(("all",), np.array([1.0])), units)
    rare, normal = np.repeat([1.0, 0.0], [4, 196]), np.random.default_rng(8).standard_normal(200)
    assert spread_of(sample, rare).degrees == pytest.approx(8.5, abs=0.1)
    assert spread_of(sample, normal).degrees > 150
    assert spread_of(sample, np.ones(200)).variance == 0


def test_an_auxiliary_without_spread_has_no_slope_in_the_jackknife() -> None:
    sample, truly, _ = sampled(9)
    everywhere = np.ones(len(truly), dtype=bool)
    found = left_out(sample, truly, np.full(len(truly), 0.3), everywhere, 0.9)
    n = len(truly)
    assert found == pytest.approx((truly.sum() - truly) / (n - 1))
