"""The agreement of labellers is counted pair by pair."""

import pytest
from sklearn.metrics import cohen_kappa_score

from ml.sampling.agreement import agreements


def test_kappa_agrees_with_that_of_scikit_learn() -> None:
    ana = {str(point): int(label) for point, label in enumerate("0012012012201210")}
    bo = {str(point): int(label) for point, label in enumerate("0012112010201212")}
    (found,) = agreements({"ana": ana, "bo": bo}, 3)
    assert (found.one, found.other, found.points, found.agreed) == ("ana", "bo", 16, 13 / 16)
    assert found.kappa == pytest.approx(cohen_kappa_score(list(ana.values()), list(bo.values())))


def test_only_common_points_count() -> None:
    answers = {"ana": {"a": 0, "b": 1}, "bo": {"b": 1, "c": 0}, "chen": {"c": 0}, "dai": {"z": 1}}
    found = agreements(answers, 2)
    assert [(one.one, one.other, one.points, one.agreed, one.kappa) for one in found] == [
        ("ana", "bo", 1, 1.0, None),
        ("bo", "chen", 1, 1.0, None),
    ], "one class alone has no kappa"
