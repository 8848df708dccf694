"""The report of a training warns of classes that its metrics do not show."""

import numpy as np

from ml.evaluation.metrics import Metrics
from ml.evaluation.report import chip_warnings, class_warnings, draw_warnings

TRAINED = {"other": 9000, "cane": 900, "salt": 100}


def of(*rows: tuple[int, int, int]) -> Metrics:
    return Metrics.from_confusion(np.array(rows))


def test_a_class_of_which_nothing_is_found_is_warned_of_with_its_pixels() -> None:
    val = of((800, 10, 0), (5, 85, 0), (1000, 34, 0))
    assert list(class_warnings(TRAINED, {"val": val})) == [
        "In the validation split nothing is found of salt (1,034 px)."
    ]


def test_a_class_that_a_split_lacks_is_warned_of_once() -> None:
    whole, lacking = of((800, 1, 1), (2, 800, 0), (0, 0, 9)), of((1600, 1, 1), (0, 0, 0), (0, 0, 9))
    (warning,) = class_warnings(TRAINED, {"val": lacking, "test": whole})
    assert warning.startswith("The validation split has no pixel of cane.")
    (warning,) = class_warnings(TRAINED, {"val": whole, "test": lacking})
    assert warning.startswith("The test split has no pixel of cane.")
    (warning,) = class_warnings(TRAINED | {"cane": 0}, {"val": lacking, "test": lacking})
    assert warning.startswith("The training split has no pixel of cane.")


def test_a_training_that_found_all_classes_in_all_splits_has_no_warning() -> None:
    whole = of((800, 1, 1), (2, 800, 0), (0, 0, 9))
    assert list(class_warnings(TRAINED, {"val": whole, "test": whole})) == []


def test_a_class_that_was_kept_though_it_looks_like_cloud_is_warned_of_with_figures() -> None:
    assert list(chip_warnings({"other": 3000, "salt": 320}, {}, {"cloud": {"salt": 256, "other": 9}})) == [
        "80 % of the pixels of salt that are trained on (256) are in chips that look like cloud: "
        "check that they show salt."
    ]


def test_a_class_most_of_which_is_in_nearly_empty_chips_is_warned_of_with_figures() -> None:
    dropped = {"little_valid": {"other": 200, "cane": 90}, "cloud": {"cane": 20}}
    assert list(chip_warnings({"other": 3000, "cane": 100}, dropped, {})) == [
        "Of cane only 100 labelled pixels are trained on; not so 90 in chips that look nearly empty, "
        "20 in chips that look like cloud: lower min_valid."
    ]


def test_a_class_of_which_an_epoch_draws_nothing_is_warned_of() -> None:
    assert list(draw_warnings(TRAINED, {"other": 9, "cane": 9, "salt": 0})) == [
        "The first epoch draws no pixel of salt (100 px): raise steps_per_epoch."
    ]
    assert list(draw_warnings(TRAINED | {"salt": 0}, {"other": 9, "cane": 9, "salt": 0})) == []


def test_a_class_of_less_than_a_thousandth_is_warned_of() -> None:
    found = Metrics.from_confusion(np.array(((800, 1), (2, 800))))
    (warning,) = class_warnings({"other": 2_200_000, "cane": 184}, {"val": found})
    assert warning.startswith("184 of 2,200,184 labelled training pixels are of cane: 0.00836 %.")
    assert not list(class_warnings({"other": 999, "cane": 1}, {"val": found}))


def test_a_split_of_few_labels_is_warned_of() -> None:
    found = Metrics.from_confusion(np.array(((80, 1), (2, 80))))
    (warning,) = class_warnings({"other": 900, "cane": 100}, {"test": found})
    assert warning.startswith("The test split has only 163 labelled pixels. The metrics are mostly chance")


def test_of_hundreds_of_classes_a_few_are_named() -> None:
    trained = {f"crop {value}": 5 for value in range(200)}
    wrong = np.roll(5 * np.eye(200, dtype=np.int64), 1, axis=1)
    (warning,) = class_warnings(trained, {"val": Metrics.from_confusion(wrong)})
    assert warning.endswith("crop 11 (5 px) and 188 more.")
