"""Strata are ranges of probability, whatever the classes of the map."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ml.contract import MAP_NODATA
from ml.estimation.estimate import estimate
from ml.estimation.sample import Points, Sample, Strata
from ml.faults import InputRefused
from ml.sampling.design import Design
from ml.sampling.plan import BY_PROBABILITY, ErrorRates
from ml.sampling.sample import draw_sample
from tests.ml.sampling.maps import CLASSES, write_map
from tests.rounds import rounds

SHAPE = (60, 80)
RANDOM = np.random.default_rng(0)
LIKELY = np.clip(RANDOM.beta(0.4, 0.6, SHAPE), 0, 0.999)
TRUTH = (RANDOM.random(SHAPE) < LIKELY).astype(np.uint8)
NO_RATES = ErrorRates(why="none")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The class map at threshold 0.5, and the probability, both without data in some rows."""
    folder = tmp_path_factory.mktemp("map")
    classes, probability = (LIKELY >= 0.5).astype(np.uint8), np.floor(LIKELY * 250).astype(np.uint8)
    classes[:5], probability[:5] = MAP_NODATA, MAP_NODATA
    return write_map(folder / "classes.tif", classes), write_map(folder / "probability.tif", probability)


def test_strata_are_ranges_with_their_pixels_and_points(files: tuple[Path, Path]) -> None:
    design = Design(n=200, strata="probability", allocation="equal")
    drawn, points = draw_sample(files[0], CLASSES, design, NO_RATES, probability=files[1])
    rounded = (np.floor(LIKELY * 250)[5:] + 0.5) / 250
    expected = np.histogram(rounded, [0, 0.1, 0.5, 0.9, 1])[0]
    assert [stratum.pixels for stratum in drawn.strata] == expected.tolist()
    assert [stratum.n for stratum in drawn.strata] == [50] * 4
    assert Counter(point.stratum for point in points) == dict.fromkeys("0123", 50)
    for point in points:
        likely = rounded[point.row - 5, point.col]
        assert point.stratum == str(np.digitize(likely, [0.1, 0.5, 0.9]))
        assert point.map_class == int(LIKELY[point.row, point.col] >= 0.5)
    assert (drawn.expected, drawn.why) == ((), BY_PROBABILITY)
    assert {path.name for path in files[0].parent.iterdir()} == {"classes.tif", "probability.tif"}
    again = draw_sample(files[0], CLASSES, design, NO_RATES, probability=files[1])
    assert again[1] == points


def test_the_interval_covers(files: tuple[Path, Path]) -> None:
    right, covered, draws = TRUTH[5:].mean(), 0, rounds(100)
    for seed in range(draws):
        design = Design(n=120, strata="probability", seed=seed, min_per_stratum=10)
        drawn, points = draw_sample(files[0], CLASSES, design, NO_RATES, probability=files[1])
        strata = Strata(
            names=tuple(stratum.name for stratum in drawn.strata),
            area_ha=np.array([stratum.area_ha for stratum in drawn.strata]),
            units=np.array([stratum.pixels for stratum in drawn.strata], dtype=float),
        )
        columns = Points(
            stratum=np.array([int(point.stratum) for point in points]),
            mapped=np.array([point.map_class for point in points]),
            reference=np.array([int(TRUTH[point.row, point.col]) for point in points]),
        )
        ci95 = estimate(Sample("stratified", strata, columns), 2).rows[1].area.ci95
        assert ci95 is not None
        covered += ci95[0] <= right * strata.whole_ha <= ci95[1]
    assert covered >= 0.88 * draws


def test_a_target_has_no_errors_to_start_from(files: tuple[Path, Path]) -> None:
    design = Design(target_cv=0.05, strata="probability")
    with pytest.raises(InputRefused) as refused:
        draw_sample(files[0], CLASSES, design, NO_RATES, probability=files[1])
    assert [fault.code for fault in refused.value.faults] == ["no_error_rates"]
