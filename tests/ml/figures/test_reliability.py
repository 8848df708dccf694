"""The reliability of probabilities, before and after their calibration."""

import numpy as np
import pytest

from ml.evaluation.calibration import Calibrated, Calibration, reliability
from ml.figures.reliability import draw_reliability
from tests.ml.figures.drawn import points, texts

LOGITS, TRUTH = np.array([[4.0, 4.0, 4.0, -4.0]], np.float32), np.array([1, 0, 1, 0], np.uint8)
FOUND = Calibrated(before=reliability(LOGITS, TRUTH), after=reliability(LOGITS, TRUTH, 3.64))


def test_each_split_has_a_panel_with_a_line_before_and_one_after() -> None:
    figure = draw_reliability(Calibration(temperature=3.64, val=FOUND, test=FOUND))
    assert [axes.get_title() for axes in figure.axes] == ["validation", "test"]
    _, before, after = figure.axes[0].lines
    assert points(before)[0] == pytest.approx(1 / (1 + np.exp(-4)))
    assert points(after)[0] == pytest.approx(0.75, abs=0.01)
    assert points(before)[1] == points(after)[1] == pytest.approx(0.75)
    assert {"before: ECE 0.232", "after: ECE 0.000"} <= set(texts(figure))
    assert any("temperature 3.64" in text for text in texts(figure))


def test_without_a_test_split_there_is_one_panel() -> None:
    assert len(draw_reliability(Calibration(temperature=1, val=FOUND)).axes) == 1
