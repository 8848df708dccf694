"""Comparisons: the table agrees with a computation by hand, and intervals cover the true difference."""

import numpy as np
import pytest

from ml.evaluation.comparison import Comparison, Difference, ScoredTraining, compare, failure_notes
from ml.evaluation.metrics import BlockCounts, Metrics, as_confusion, pooled


def training(variant: str, seed: int, counts: np.ndarray) -> ScoredTraining:
    """A scored training with these confusions, shape (blocks, classes, classes), in a row of blocks of one scene."""
    blocks = tuple(BlockCounts(row=0, col=256 * i, confusion=as_confusion(block)) for i, block in enumerate(counts))
    metrics = Metrics.from_confusion(pooled(blocks, counts.shape[1]))
    return ScoredTraining(variant=variant, seed=seed, metrics=metrics, blocks={"scene": blocks})


def blocks_with(omitted: np.ndarray, cane: int = 500) -> np.ndarray:
    """Confusions of blocks of 1000 px with `cane` pixels of cane, of which the map omits `omitted` in each block."""
    other = np.full_like(omitted, 1000 - cane)
    return np.stack([np.stack([other, 0 * other], 1), np.stack([omitted, cane - omitted], 1)], 1)


def found(comparison: Comparison, metric: str = "accuracy") -> Difference:
    (difference,) = [of for of in comparison.differences if of.metric == metric]
    return difference


def test_the_table_agrees_with_a_computation_by_hand() -> None:
    trainings = [training("ce", seed, blocks_with(np.array([100 + 20 * seed, 100 + 20 * seed]))) for seed in range(3)]
    (row,) = compare(trainings, split="val").table
    assert (row.variant, row.split, row.runs) == ("ce", "val", 3)
    assert row.accuracy.mean == pytest.approx(0.88)
    assert row.accuracy.sd == pytest.approx(0.02)
    assert row.omission.mean == pytest.approx(0.24)
    assert row.boundary_iou.mean is None, "it was not counted"


def test_one_training_has_no_sd_and_an_undefined_metric_has_no_mean() -> None:
    (row,) = compare([training("ce", 0, blocks_with(np.array([500, 500])))]).table
    assert (row.recall.mean, row.recall.sd) == (0, None)
    assert row.precision.mean is None, "nothing is mapped"


def test_paired_blocks_show_a_difference_that_is_smaller_than_that_between_blocks() -> None:
    rng = np.random.default_rng(0)
    hard = rng.integers(50, 450, size=60)
    trainings = [training("ce", s, blocks_with(hard + rng.integers(-3, 4, size=60))) for s in range(3)]
    trainings += [training("lovasz", s, blocks_with(hard - 10 + rng.integers(-3, 4, size=60))) for s in range(3)]
    comparison = compare(trainings)
    for metric in ("accuracy", "iou", "kappa"):
        difference = found(comparison, metric)
        assert (difference.a, difference.b, difference.paired_seeds) == ("lovasz", "ce", 3)
        assert difference.mean is not None
        assert difference.ci95 is not None
        low, high = difference.ci95
        assert 0 < low < difference.mean < high
        assert difference.share_positive == 1
    mean, (low, high) = found(comparison).mean, found(comparison).ci95 or (0, 0)
    assert mean == pytest.approx(0.01, abs=0.001)
    assert high - low < 0.003, "unpaired, the blocks alone would make it wider than 0.04"
    of_baseline, of_other = (row.iou.mean or 0 for row in comparison.table)
    assert found(comparison, "iou").mean == pytest.approx(of_other - of_baseline)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(150):  # the map of a is better by 20 of 1000 px on average, with differences between blocks
        ce, better = rng.integers(100, 200, size=40), rng.integers(0, 41, size=40)
        maps = (("ce", ce), ("a", ce - better))
        trainings = [training(name, seed, blocks_with(wrong)) for name, wrong in maps for seed in range(3)]
        comparison = compare(trainings, resamples=300)
        low, high = found(comparison).ci95 or (0, 0)
        covered += low <= 0.02 <= high
    assert 0.88 <= covered / 150 <= 0.99


def test_seeds_that_disagree_widen_the_interval() -> None:
    steady, unsteady = (
        [training("ce", s, blocks_with(np.full(50, 200))) for s in range(3)]
        + [training("a", s, blocks_with(np.full(50, 190 + spread * (s - 1)))) for s in range(3)]
        for spread in (0, 60)
    )
    assert found(compare(steady)).ci95 == pytest.approx((0.01, 0.01))
    low, high = found(compare(unsteady)).ci95 or (0, 0)
    assert low < 0 < high
    assert 0 < (found(compare(unsteady)).share_positive or 0) < 1


def in_scenes(scored: ScoredTraining, scenes: int) -> ScoredTraining:
    """The same training, with its blocks divided among so many scenes, in their order."""
    (blocks,) = scored.blocks.values()
    each = len(blocks) // scenes
    parts = {f"scene{number}": blocks[number * each : (number + 1) * each] for number in range(scenes)}
    return scored.model_copy(update={"blocks": parts})


def test_blocks_of_a_scene_that_err_together_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    better = np.repeat(rng.integers(-20, 60, size=8), 10)
    scored = [training("ce", s, blocks_with(np.full(80, 200))) for s in range(3)]
    scored += [training("a", s, blocks_with(200 - better)) for s in range(3)]
    widths = []
    for scenes in (1, 8):
        comparison = compare([in_scenes(each, scenes) for each in scored])
        low, high = found(comparison).ci95 or (0, 0)
        assert ("Fewer than six scenes" in " ".join(comparison.notes)) == (scenes == 1)
        widths.append(high - low)
    error = better.reshape(8, 10).mean(axis=1).std(ddof=1) / 1000 / np.sqrt(8)
    assert widths[1] == pytest.approx(2 * 2.365 * error, rel=0.1), "t with 7 degrees of freedom"
    assert widths[1] > 2.5 * widths[0]


def test_trainings_are_paired_by_seed_in_any_order() -> None:
    trainings = [training("ce", s, blocks_with(np.full(9, 100 + 10 * s))) for s in (0, 1, 2)]
    trainings += [training("a", s, blocks_with(np.full(9, 90 + 10 * s))) for s in (7, 2, 1, 0)]
    difference = found(compare(trainings))
    assert difference.paired_seeds == 3
    assert difference.ci95 == pytest.approx((0.01, 0.01)), "the difference is the same for each seed"


def test_the_same_seed_gives_the_same_interval() -> None:
    rng = np.random.default_rng(0)
    seeds = [(name, seed) for name in ("ce", "a") for seed in range(3)]
    trainings = [training(*each, blocks_with(rng.integers(100, 200, size=30))) for each in seeds]
    assert compare(trainings) == compare(trainings)
    assert found(compare(trainings)).ci95 != found(compare(trainings, seed=1)).ci95


def test_several_variants_of_many_classes_are_compared_with_the_first() -> None:
    rng = np.random.default_rng(0)
    base = rng.integers(10, 20, size=(20, 4, 4))
    better = base + 5 * np.eye(4, dtype=np.int64) - np.roll(5 * np.eye(4, dtype=np.int64), 1, axis=1)
    variants = (("ce", base), ("a", better), ("b", base))
    comparison = compare([training(name, seed, counts) for name, counts in variants for seed in range(3)])
    assert [(d.a, d.b) for d in comparison.differences] == [("a", "ce")] * 3 + [("b", "ce")] * 3
    assert comparison.differences[1].share_positive == 1
    assert comparison.differences[4].ci95 == (0, 0), "b is the baseline under another name"


@pytest.mark.parametrize(
    ("seeds", "blocks", "note"),
    [
        (1, 9, "one seed in common: for an interval there must be 3"),
        (2, 9, "2 seeds in common: for an interval there must be 3"),
        (3, 9, "too narrow"),
        (3, 1, "Fewer than two blocks"),
        (3, 0, "Fewer than two"),
    ],
)
def test_notes_state_the_limits_of_an_interval(seeds: int, blocks: int, note: str) -> None:
    counts = blocks_with(np.full(blocks, 100))
    comparison = compare([training(name, s, counts) for name in ("ce", "a") for s in range(seeds)])
    assert note in " ".join(comparison.notes)
    assert (found(comparison).ci95 is None) == (blocks < 2 or seeds < 3)
    assert (found(comparison).share_positive is None) == (found(comparison).ci95 is None)
    assert found(comparison).mean == (0 if blocks else None)


def test_variants_without_a_common_seed_are_not_paired() -> None:
    counts = blocks_with(np.full(9, 100))
    comparison = compare([training("ce", 0, counts), training("a", 1, counts)])
    assert (found(comparison).mean, found(comparison).ci95, found(comparison).paired_seeds) == (None, None, 0)
    assert "no seed in common" in " ".join(comparison.notes)


def test_resamples_in_which_a_metric_is_undefined_are_left_out() -> None:
    counts = blocks_with(np.array([0, 0, 0]), cane=0)
    counts[0] = [[900, 0], [50, 50]]
    comparison = compare([training(name, seed, counts) for name in ("ce", "a") for seed in range(3)])
    assert found(comparison, "iou").ci95 == (0, 0)
    (note,) = (note for note in comparison.notes if "iou" in note)
    share = float(note.split(" in ")[1].split(" %")[0])  # all three draws miss the one block with cane: (2 / 3)^3
    assert share == pytest.approx(29.6, abs=3)


def test_a_comparison_of_no_trainings_is_empty() -> None:
    assert (compare([]).table, compare([]).differences) == ((), ())


def test_trainings_with_different_blocks_or_labels_or_with_one_seed_twice_are_refused() -> None:
    three, two = blocks_with(np.full(3, 100)), blocks_with(np.full(2, 100))
    with pytest.raises(ValueError, match="different blocks"):
        compare([training("ce", 0, three), training("a", 0, two)])
    with pytest.raises(ValueError, match="different labels"):
        compare([training("ce", 0, three), training("a", 0, blocks_with(np.full(3, 100), cane=400))])
    with pytest.raises(ValueError, match="two trainings of seed 0"):
        compare([training("ce", 0, three), training("ce", 0, three)])


def test_failed_trainings_and_another_baseline_are_named() -> None:
    planned = [("ce", 0), ("wide", 0), ("ce", 1), ("wide", 1)]
    assert failure_notes(planned, planned) == ()
    assert failure_notes(planned, planned[:3]) == ("1 of 4 trainings failed and are left out: wide with seed 1.",)
    assert failure_notes(planned, [("wide", 0), ("wide", 1)]) == (
        "2 of 4 trainings failed and are left out: ce with seed 0, ce with seed 1.",
        "No training of ce succeeded: the others are compared with wide.",
    )
