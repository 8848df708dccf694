"""Metrics agree with scikit-learn, and are None where they are undefined."""

import importlib
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from ml.evaluation.metrics import Metrics, block_confusions, confusion, metrics_of, pooled, standing


@pytest.fixture(scope="module")
def oracle() -> Any:
    """The metrics of scikit-learn, which takes half a second to import: only the process that runs these tests does."""
    return importlib.import_module("sklearn.metrics")


def random_maps(seed: int, classes: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(classes, size=(40, 50), dtype=np.uint8)
    predicted = np.where(rng.random(truth.shape) < 0.7, truth, rng.integers(classes, size=truth.shape)).astype(np.uint8)
    return truth, predicted


@pytest.mark.parametrize("seed", range(5))
def test_metrics_agree_with_scikit_learn(oracle: Any, seed: int) -> None:
    truth, predicted = random_maps(seed)
    y, z = truth.ravel(), predicted.ravel()
    metrics = Metrics.from_confusion(confusion(truth, predicted))
    assert metrics.confusion == tuple(map(tuple, oracle.confusion_matrix(y, z).tolist()))
    assert metrics.accuracy == pytest.approx(oracle.accuracy_score(y, z))
    assert metrics.iou == pytest.approx(oracle.jaccard_score(y, z))
    assert metrics.kappa == pytest.approx(oracle.cohen_kappa_score(y, z))
    assert metrics.precision == pytest.approx(oracle.precision_score(y, z))
    assert metrics.recall == pytest.approx(oracle.recall_score(y, z))
    assert metrics.f1 == pytest.approx(oracle.f1_score(y, z))
    assert metrics.omission == pytest.approx(1 - oracle.recall_score(y, z))
    assert metrics.commission == pytest.approx(1 - oracle.precision_score(y, z))
    assert metrics.by_class == ()


@pytest.mark.parametrize("classes", [3, 13, 255])
def test_many_classes_agree_with_scikit_learn(oracle: Any, classes: int) -> None:
    truth, predicted = random_maps(1, classes)
    y, z = truth.ravel(), predicted.ravel()
    counts = confusion(truth, predicted, classes)
    assert (counts == oracle.confusion_matrix(y, z, labels=range(classes))).all()
    metrics = Metrics.from_confusion(counts)
    assert metrics.kappa == pytest.approx(oracle.cohen_kappa_score(y, z))
    assert metrics.accuracy == pytest.approx(oracle.accuracy_score(y, z))
    precision, recall, f1, _ = oracle.precision_recall_fscore_support(y, z, labels=range(classes), zero_division=np.nan)
    for found, expected in zip(metrics.by_class, zip(precision, recall, f1, strict=True), strict=True):
        assert (found.precision, found.recall, found.f1) == pytest.approx(expected)
    if classes < 255:
        assert metrics.iou == pytest.approx(oracle.jaccard_score(y, z, average="macro"))


def test_means_are_over_the_classes_that_occur() -> None:
    metrics = Metrics.from_confusion(np.array([[6, 2, 0, 0], [0, 8, 0, 0], [4, 0, 0, 0], [0, 0, 0, 0]]))
    assert [of.iou for of in metrics.by_class] == [6 / 12, 8 / 10, 0, None]
    assert metrics.iou == pytest.approx((6 / 12 + 8 / 10 + 0) / 3)
    assert [of.precision for of in metrics.by_class] == [6 / 10, 8 / 10, None, None], "classes 2 and 3 are not mapped"
    assert metrics.precision == pytest.approx(0.7)
    assert [of.omission for of in metrics.by_class] == [2 / 8, 0, 1, None]
    assert metrics.omission == pytest.approx(1.25 / 3)


@pytest.mark.parametrize("classes", [2, 5])
def test_many_confusions_at_once_have_the_metrics_of_each(classes: int) -> None:
    many = np.random.default_rng(0).integers(50, size=(4, 3, classes, classes))
    many[0, 0, 1:, 1:] = many[0, 0, 0, 1:, None] = 0  # one of them has undefined metrics
    for name, values in metrics_of(many).items():
        one_by_one = [[getattr(Metrics.from_confusion(counts), name) for counts in row] for row in many]
        np.testing.assert_array_equal(values, np.array(one_by_one, dtype=np.float64), err_msg=name)


@pytest.mark.parametrize("classes", [2, 3])
def test_unlabelled_and_nodata_pixels_are_never_counted(classes: int) -> None:
    truth = np.array([[0, 1, 255, 255, 1]], dtype=np.uint8)
    predicted = np.array([[0, 1, 0, 255, 255]], dtype=np.uint8)
    assert confusion(truth, predicted, classes)[:2, :2].tolist() == [[1, 0], [0, 1]]
    assert confusion(truth, predicted, classes).sum() == 2


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("places", [(1, 0), (0, 1)], ids=["truth", "map"])
def test_a_value_that_is_not_a_class_is_refused(classes: int, places: tuple[int, int]) -> None:
    truth, predicted = (np.array([0, place * classes], dtype=np.uint8) for place in places)
    with pytest.raises(ValueError, match=f"neither a class below {classes} nor 255"):
        confusion(truth, predicted, classes)


def test_undefined_metrics_are_none() -> None:
    empty = Metrics.from_confusion(np.zeros((2, 2), dtype=np.int64))
    assert set(empty.model_dump(exclude={"confusion", "by_class"}).values()) == {None}
    without_class_1 = Metrics.from_confusion(np.array([[9, 0], [0, 0]]))
    assert without_class_1.accuracy == 1
    assert without_class_1.iou is None, "the union is empty"
    assert without_class_1.kappa is None, "the agreement that is expected by chance is 1"


def test_counts_beyond_32_bits_are_exact() -> None:
    metrics = Metrics.from_confusion(np.array([[4 * 10**10, 10**10], [10**10, 4 * 10**10]]))
    assert metrics.kappa == pytest.approx(0.6, abs=1e-15)


def test_block_confusions_add_up_to_the_whole() -> None:
    truth, predicted = random_maps(2)
    truth[:16, :16] = 255
    blocks = list(block_confusions(truth, predicted, block_px=16))
    assert len(blocks) == 3 * 4 - 1, "a block without labels is left out"
    assert (pooled(blocks) == confusion(truth, predicted)).all()


def test_a_block_has_the_position_of_its_upper_left_pixel() -> None:
    truth, predicted = random_maps(3, classes=3)
    last = list(block_confusions(truth, predicted, 3, 16))[-1]
    assert (last.row, last.col) == (32, 48)
    assert np.array_equal(last.confusion, confusion(truth[32:, 48:], predicted[32:, 48:], 3))


def test_a_document_from_before_the_newer_metrics_still_loads() -> None:
    old = """{"accuracy": 0.85, "iou": 0.75, "kappa": 0.7, "precision": 0.8, "recall": 0.9, "f1": 0.86,
              "confusion": [[40, 10], [5, 45]]}"""
    metrics = Metrics.model_validate_json(old)
    assert metrics.confusion == ((40, 10), (5, 45))
    assert metrics.boundary_iou is None


@pytest.mark.parametrize("confusion", [[], [[1]], [[1, 2], [3]], [[1, 2, 3], [4, 5, 6]]])
def test_a_confusion_is_square(confusion: list[list[int]]) -> None:
    document = Metrics.from_confusion(np.eye(2, dtype=np.int64)).model_dump() | {"confusion": confusion}
    with pytest.raises(ValidationError, match="a row and a column for each"):
        Metrics.model_validate(document)


def test_in_a_split_without_the_class_a_clean_map_stands_above_any_with_false_positives() -> None:
    few, many, clean, none = ([[100 - n, n], [0, 0]] for n in (1, 90, 0, 100))
    of = {name: Metrics.from_confusion(np.array(c)) for name, c in zip("fmcn", (few, many, clean, none), strict=True)}
    assert (of["c"].iou, of["f"].iou) == (None, 0)
    assert sorted(of, key=lambda name: standing(of[name].iou, of[name].accuracy)) == ["n", "m", "f", "c"]


def test_an_epoch_stands_by_its_iou_wherever_that_is_defined() -> None:
    poor, good = (Metrics.from_confusion(np.array(c)) for c in ([[900, 0], [99, 1]], [[600, 300], [10, 90]]))
    assert (poor.accuracy or 0) > (good.accuracy or 0)
    assert standing(good.iou, good.accuracy) > standing(poor.iou, poor.accuracy)
