"""The adjusted area agrees with values computed by hand and with known true areas."""

import numpy as np
import pytest

from ml.evaluation.area import adjusted_area, why_not_adjusted
from ml.evaluation.metrics import Confusion, as_confusion


def blocks_of_errors(rng: np.random.Generator, count: int) -> np.ndarray:
    """Blocks whose map omits about 20 % of class 1 and adds 5 % of class 0, with shares that differ by block."""
    omitted, added = rng.beta(4, 16, count), rng.beta(1, 19, count)
    fn, fp = rng.binomial(300, omitted), rng.binomial(700, added)
    return np.stack([np.stack([700 - fp, fp], axis=1), np.stack([fn, 300 - fn], axis=1)], axis=1)


def test_the_area_of_a_perfect_map_is_not_adjusted() -> None:
    block = ((50, 0), (0, 50))
    estimate = adjusted_area({0: 60.0, 1: 40.0}, ((100, 0), (0, 100)), [block, block])
    assert estimate == (40.0, (40.0, 40.0))


def test_the_estimate_agrees_with_a_computation_by_hand() -> None:
    # 100 ha are mapped as other, where 10 of 90 test pixels are cane, and 50 ha as cane, where 40 of 50 are
    counts: Confusion = ((80, 10), (10, 40))
    estimate = adjusted_area({0: 100.0, 1: 50.0}, counts, [counts, counts])
    assert estimate is not None
    assert estimate[0] == pytest.approx(100 * 10 / 90 + 50 * 40 / 50)


def test_the_estimates_of_many_classes_agree_with_a_computation_by_hand() -> None:
    counts: Confusion = ((8, 1, 1), (2, 6, 0), (0, 3, 9))
    estimates = [adjusted_area({0: 100.0, 1: 50.0, 2: 20.0}, counts, [counts] * 2, value=value) for value in range(3)]
    areas = [estimate[0] for estimate in estimates if estimate is not None]
    assert areas == pytest.approx([100 * 8 / 10 + 50 * 1 / 10 + 20 * 1 / 10, 100 * 2 / 10 + 50 * 6 / 10, 50 * 0.3 + 18])
    assert sum(areas) == pytest.approx(170), "the estimates add up to the mapped area"


def test_the_95_percent_interval_covers_the_true_area_in_about_95_percent_of_samples() -> None:
    rng = np.random.default_rng(0)
    world = blocks_of_errors(rng, 20_000)
    total = world.sum(axis=0)
    mapped_ha = {0: float(total[:, 0].sum()), 1: float(total[:, 1].sum())}
    truth_ha = float(total[1].sum())
    covered = 0
    for _ in range(200):
        sample = world[rng.integers(len(world), size=60)]
        estimate = adjusted_area(
            mapped_ha, as_confusion(sample.sum(axis=0)), [as_confusion(b) for b in sample], resamples=200
        )
        assert estimate is not None
        low, high = estimate[1]
        covered += low <= truth_ha <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_the_same_seed_gives_the_same_interval() -> None:
    blocks = [as_confusion(block) for block in blocks_of_errors(np.random.default_rng(1), 10)]
    counts = as_confusion(np.sum(blocks, axis=0))
    first, again, other = (adjusted_area({0: 9.0, 1: 5.0}, counts, blocks, seed=seed) for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize(
    ("counts", "blocks", "why"),
    [
        (((80, 0), (20, 0)), 9, "that no test pixel was mapped as"),
        (((0, 0), (0, 0)), 9, "no labelled pixel"),
        (((80, 10), (10, 40)), 1, "fewer than two blocks"),
        (((80, 10), (10, 40)), 0, "fewer than two blocks"),
        (((80, 10), (0, 0)), 9, "No test pixel is truly"),
        (((0, 0), (10, 40)), 9, "All test pixels"),
    ],
    ids=[
        "a mapped class without test pixels",
        "no test pixels",
        "one block",
        "no blocks",
        "no test pixel is truly of the class",
        "no test pixel is truly of another class",
    ],
)
def test_too_little_data_gives_no_estimate_but_a_reason(counts: Confusion, blocks: int, why: str) -> None:
    mapped_ha = {0: 100.0, 1: 50.0}
    assert adjusted_area(mapped_ha, counts, [counts] * blocks) is None
    assert why in str(why_not_adjusted(mapped_ha, counts, [counts] * blocks))


def test_a_class_that_is_not_on_the_map_needs_no_test_pixel() -> None:
    counts: Confusion = ((80, 0), (20, 0))
    assert why_not_adjusted({0: 100.0}, counts, [counts] * 2) is None
    assert adjusted_area({0: 100.0}, counts, [counts] * 2) == (20.0, (20.0, 20.0))
