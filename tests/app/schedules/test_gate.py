"""The gate judges metrics, also those that are undefined."""

import numpy as np
import pytest

from app.requests.schedules import PromoteRequest
from app.schedules.gate import checks, reason
from ml.evaluation.metrics import Metrics

GATE = PromoteRequest(min_gain=0.0, guards={"recall": -1}, floors={"accuracy": 0.5, "precision": 0})
FOUND = Metrics.from_confusion(np.array([[80, 10], [2, 8]]))
CLEAN = Metrics.from_confusion(np.array([[100, 0], [0, 0]]))  # the split has no pixel of class 1, and none is mapped
FALSE_POSITIVES = Metrics.from_confusion(np.array([[60, 40], [0, 0]]))


@pytest.mark.parametrize(
    ("candidate", "champion", "failed"),
    [
        (FOUND, FOUND, []),
        (FALSE_POSITIVES, CLEAN, ["iou", "recall"]),
        (CLEAN, FALSE_POSITIVES, ["iou", "recall", "precision"]),
        (CLEAN, CLEAN, ["iou", "recall", "precision"]),
        (CLEAN, None, ["precision"]),
    ],
)
def test_an_undefined_metric_never_passes(candidate: Metrics, champion: Metrics | None, failed: list[str]) -> None:
    found = tuple(checks(GATE, candidate, champion))
    assert [check.metric for check in found if not check.passed] == failed


def test_the_reason_says_which_of_the_two_is_undefined() -> None:
    found = tuple(checks(PromoteRequest(), FALSE_POSITIVES, CLEAN))
    assert reason(found, 3) == "gain of iou: undefined (0.0000 against undefined), which never passes"
    (floor,) = checks(PromoteRequest(floors={"iou": 0.1}), CLEAN, None)
    assert reason((floor,), None) == "floor of iou: undefined, which never passes"
