"""The assessment of a split: scenes, blocks, boundaries and look-alike crops add up to the whole."""

import numpy as np
import pytest

from ml.evaluation.assessment import Assessment, SceneCounts, assessment, boundary_iou, false_positives
from ml.evaluation.metrics import BlockCounts, block_confusions, confusion

GOOD = BlockCounts(row=0, col=0, confusion=((50, 0), (0, 50)))
BAD = BlockCounts(row=0, col=256, confusion=((2, 2), (2, 4)))
BARE = BlockCounts(row=0, col=0, confusion=((10, 0), (0, 0)))


def test_pooled_metrics_weight_pixels_and_means_weight_scenes() -> None:
    a = SceneCounts("a", (GOOD,), [(30, 40)], {"cassava": 2})
    b = SceneCounts("b", (BAD,), [(0, 10)], {"cassava": 1, "maize": 1})
    metrics, parts = assessment([a, b], boundary_m=4.0)
    assert metrics.confusion == ((52, 2), (2, 54))
    assert metrics.iou == pytest.approx(54 / 58)
    assert metrics.boundary_iou == pytest.approx(30 / 50)
    assert parts.scene_mean["iou"] == pytest.approx((1 + 0.5) / 2)
    assert (parts.scenes["a"].boundary_iou, parts.scenes["b"].boundary_iou) == (0.75, 0)
    assert parts.false_positives == {"cassava": 3, "maize": 1}
    assert (parts.blocks["b"], parts.boundary_m) == ((BAD,), 4.0)
    assert Assessment.model_validate_json(parts.model_dump_json()) == parts


def test_a_scene_with_an_undefined_metric_is_left_out_of_the_mean() -> None:
    metrics, parts = assessment([SceneCounts("a", (BAD,)), SceneCounts("bare", (BARE,))])
    assert parts.scenes["bare"].iou is None
    assert parts.scene_mean["iou"] == pytest.approx(0.5)
    assert parts.scene_mean["accuracy"] == pytest.approx((0.6 + 1) / 2)
    assert metrics.boundary_iou is None


def test_a_split_without_scenes_has_no_metrics() -> None:
    metrics, parts = assessment([], classes=3)
    assert np.shape(metrics.confusion) == (3, 3)
    assert set(parts.scene_mean.values()) == {None}


def test_a_scene_that_was_counted_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="'a' was counted twice"):
        assessment([SceneCounts("a", (GOOD,)), SceneCounts("a", (GOOD,))])


def test_the_pooled_confusion_of_two_halves_is_that_of_the_whole() -> None:
    truth, predicted = np.random.default_rng(0).integers(3, size=(2, 50, 70), dtype=np.uint8)
    halves = {"above": np.s_[:25], "below": np.s_[25:]}
    counts = [
        SceneCounts(name, tuple(block_confusions(truth[half], predicted[half], 3, 16))) for name, half in halves.items()
    ]
    assert np.array_equal(assessment(counts, classes=3)[0].confusion, confusion(truth, predicted, 3))


def test_boundaries_are_pooled_by_class_before_classes_are_averaged() -> None:
    two_scenes = [[(1, 2), (0, 0), (3, 3)], [(2, 4), (0, 0), (0, 3)]]
    assert boundary_iou(two_scenes) == pytest.approx((3 / 6 + 3 / 6) / 2), "class 1 has no boundary"
    assert boundary_iou([[(0, 0)]]) is None
    assert boundary_iou([]) is None


def test_look_alike_crops_are_counted_by_name() -> None:
    truth = np.array([0, 0, 0, 0, 1, 255], dtype=np.uint8)
    predicted = np.array([1, 1, 1, 0, 1, 1], dtype=np.uint8)
    reference = np.array([2, 2, 255, 0, 1, 2], dtype=np.uint8)
    assert false_positives(truth, predicted, reference, ["cassava", "sugarcane", "maize"]) == {"maize": 2}
