"""Metrics against scikit-learn, and where they are undefined."""

import numpy as np
import pytest
from sklearn import metrics as oracle

from ml.assess.metrics import Metrics, block_confusions, confusion


def random_maps(seed: int, classes: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(classes, size=(40, 50), dtype=np.uint8)
    predicted = np.where(rng.random(truth.shape) < 0.7, truth, rng.integers(classes, size=truth.shape)).astype(np.uint8)
    return truth, predicted


@pytest.mark.parametrize("seed", range(5))
def test_metrics_agree_with_scikit_learn(seed: int) -> None:
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


def test_the_confusion_of_many_classes_agrees_with_scikit_learn() -> None:
    truth, predicted = random_maps(1, classes=5)
    expected = oracle.confusion_matrix(truth.ravel(), predicted.ravel())
    assert (confusion(truth, predicted, classes=5) == expected).all()


def test_unlabelled_and_nodata_pixels_are_never_counted() -> None:
    truth = np.array([[0, 1, 255, 255, 1]], dtype=np.uint8)
    predicted = np.array([[0, 1, 0, 255, 255]], dtype=np.uint8)
    assert confusion(truth, predicted).tolist() == [[1, 0], [0, 1]]


def test_a_value_that_is_no_class_is_refused() -> None:
    with pytest.raises(ValueError, match="neither below 2 nor 255"):
        confusion(np.array([2], dtype=np.uint8), np.array([0], dtype=np.uint8))


def test_what_is_undefined_is_none() -> None:
    empty = Metrics.from_confusion(np.zeros((2, 2), dtype=np.int64))
    assert set(empty.model_dump(exclude={"confusion"}).values()) == {None}
    without_class_1 = Metrics.from_confusion(np.array([[9, 0], [0, 0]]))
    assert without_class_1.accuracy == 1
    assert without_class_1.iou is None, "the union is empty"
    assert without_class_1.kappa is None, "chance alone agrees everywhere"


def test_counts_beyond_32_bits_lose_nothing() -> None:
    metrics = Metrics.from_confusion(np.array([[4 * 10**10, 10**10], [10**10, 4 * 10**10]]))
    assert metrics.kappa == pytest.approx(0.6, abs=1e-15)


def test_block_confusions_add_up_to_the_whole() -> None:
    truth, predicted = random_maps(2)
    truth[:16, :16] = 255
    blocks = list(block_confusions(truth, predicted, block_px=16))
    assert len(blocks) == 3 * 4 - 1, "a block without labels is left out"
    assert (np.sum(blocks, axis=0) == confusion(truth, predicted)).all()
