"""The figures of a comparison: the table, the differences and the sweep."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from ml.figures.differences import draw_differences
from ml.figures.sweep import draw_sweep
from ml.figures.table import draw_table
from tests.ml.figures.drawn import compared, difference, points, texts

TABLE = [compared("CE", 0.8942, omission=0.1), compared("Lovász", 0.9167, omission=0.2)]


def bold(figure: Figure) -> set[str]:
    found = figure.findobj(lambda item: isinstance(item, Text) and item.get_fontweight() == "bold")
    return {item.get_text() for item in found if isinstance(item, Text)}


def test_the_best_mean_is_bold_and_the_best_error_is_the_smallest() -> None:
    assert bold(draw_table(TABLE)) == {"0.9167 ± 0.0031", "0.1000"}


def test_a_single_variant_is_not_called_best_and_an_undefined_metric_has_no_column() -> None:
    figure = draw_table(TABLE[:1])
    assert not bold(figure)
    assert "0.8942 ± 0.0031" in texts(figure)
    assert "kappa" not in texts(figure)


def test_long_names_do_not_overlap_the_next_column() -> None:
    name = "cross-entropy and half a Lovász hinge, every image by itself"
    figure = draw_table([compared(name, 0.9), compared("CE", 0.8)])
    figure.draw_without_rendering()
    boxes = {text.get_text(): text.get_window_extent() for text in figure.axes[0].texts}
    assert boxes[name].x1 < boxes["test"].x0


def test_an_interval_that_excludes_zero_has_a_filled_point() -> None:
    rows = [
        difference("sure", "iou", 0.02, (0.01, 0.03)),
        difference("unsure", "iou", 0.02, (-0.01, 0.05)),
        difference("one seed", "iou", 0.02, None),
        difference("undefined", "iou", None, None),
    ]
    (axes,) = draw_differences(rows).axes
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert [dot.get_markerfacecolor() != "white" for dot in dots] == [True, False, False]
    assert points(axes.lines[0])[0] == pytest.approx([1, 3])  # points of 0.01
    assert axes.get_yticklabels()[0].get_text() == "sure − CE"


def test_a_sweep_shows_each_seed_and_the_mean_and_the_best_weight() -> None:
    trainings = [(weight, seed, {"iou": 0.7 + weight / 10 + seed / 100}) for weight in (0.0, 0.5) for seed in (0, 2)]
    figure = draw_sweep(trainings)
    iou = figure.axes[1]
    assert points(iou.lines[0])[1] == pytest.approx([0.71, 0.76])
    assert len(np.asarray(iou.collections[0].get_offsets())) == 4
    assert "IoU\nbest mean 0.7600 at 0.5" in texts(figure)
    assert "kappa\nnothing to show" in texts(figure)


def test_a_weight_with_an_undefined_training_has_no_mean_and_is_not_the_best() -> None:
    ious = {(0.0, 0): 0.5, (0.0, 1): 0.6, (0.5, 0): 0.9, (0.5, 1): None, (1.0, 0): 0.6, (1.0, 1): 0.6}
    figure = draw_sweep([(weight, seed, {"iou": iou}) for (weight, seed), iou in ious.items()])
    assert points(figure.axes[1].lines[0])[1] == pytest.approx([0.55, np.nan, 0.6], nan_ok=True)
    assert "IoU\nbest mean 0.6000 at 1" in texts(figure)
