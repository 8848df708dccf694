"""A net that began with an earlier one is scored on the test splits before it, and what it has forgotten is said."""

from pathlib import Path

import numpy as np
import pytest

from ml.config import NetConfig, OptimizerConfig, TrainConfig
from ml.data import TrainingData
from ml.evaluation.metrics import Metrics
from ml.evaluation.report import EarlierTest
from ml.nn.evaluate import score
from ml.nn.training.forgetting import EarlierSplit, forgetting_warnings
from ml.nn.training.train import train

CONFIG = TrainConfig(
    net=NetConfig(depth=1, width=4),
    epochs=1,
    batch_size=2,
    chip_size=16,
    steps_per_epoch=2,
    optimizer=OptimizerConfig(lr=0.05),
    device="cpu",
    review_labels=False,
)
GOOD, BAD = (Metrics.from_confusion(np.array([[50, wrong], [wrong, 50]])) for wrong in (0, 40))


def test_the_net_is_scored_on_the_splits_of_those_before_it(training_data: TrainingData, tmp_path: Path) -> None:
    first = train(CONFIG, training_data, tmp_path / "first")
    config = CONFIG.model_copy(update={"init": "cane:1", "seed": 1})
    splits = [
        EarlierSplit("cane:1", "gx:1", training_data.test, GOOD),
        EarlierSplit("cane:0", "gx:0", training_data.train, BAD),
    ]
    second = train(config, training_data, tmp_path / "second", init=first.model, earlier=splits)
    report = second.header.report
    assert report is not None
    assert [(each.model, each.dataset, each.before) for each in report.earlier] == [
        ("cane:1", "gx:1", GOOD),
        ("cane:0", "gx:0", BAD),
    ]
    for found, scenes in zip(report.earlier, (training_data.test, training_data.train), strict=True):
        assert found.after == score(second.model, scenes, ())[0]
    assert [each.trained_on for each in report.earlier] == [(), ("scene0", "scene1")]
    assert any("2 scenes are trained on" in warning for warning in report.warnings)
    assert any("gx:1) kappa fell from 1.000" in warning for warning in report.warnings)


@pytest.mark.parametrize(("before", "after", "told"), [(GOOD, BAD, 1), (BAD, GOOD, 0), (GOOD, GOOD, 0)])
def test_only_a_loss_is_warned_of(before: Metrics, after: Metrics, told: int) -> None:
    test = EarlierTest(model="cane:1", dataset="gx:1", before=before, after=after)
    assert len([*forgetting_warnings([test])]) == told
