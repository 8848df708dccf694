"""The curves of losses and of validation metrics by epoch."""

import numpy as np
import pytest
from matplotlib.collections import PolyCollection

from ml.figures.curves import Series, draw_losses, draw_validation
from tests.ml.figures.drawn import points, texts, training


def test_a_single_training_has_its_loss_and_the_parts_in_one_panel() -> None:
    (axes,) = draw_losses({"CE + 0.5 Lovász": [training()]}).axes
    assert [line.get_label() for line in axes.lines] == ["total loss", "cross-entropy", "Lovász hinge"]
    assert points(axes.lines[0])[1] == pytest.approx([1.9, 1.8, 1.7, 1.6])
    assert axes.get_title() == "CE + 0.5 Lovász"


def test_a_single_part_is_not_drawn_beside_the_equal_loss() -> None:
    (axes,) = draw_losses({"CE": [training(lovasz=False)]}).axes
    assert [line.get_label() for line in axes.lines] == ["total loss"]


def test_several_variants_have_a_panel_for_each_part_and_a_line_for_each_variant() -> None:
    figure = draw_losses({"CE": [training(lovasz=False)], "Lovász": [training()]})
    assert [axes.get_title() for axes in figure.axes] == ["total loss", "cross-entropy", "Lovász hinge"]
    assert [line.get_label() for line in figure.axes[0].lines] == ["CE", "Lovász"]
    assert not points(figure.axes[2].lines[0])[0].size  # cross-entropy alone has no Lovász hinge


def test_seeds_are_averaged_in_a_band_from_lowest_to_highest() -> None:
    figure = draw_losses({"CE": [training(lovasz=False), training(epochs=2, shift=0.4, lovasz=False)]})
    (axes,) = figure.axes
    assert points(axes.lines[0])[1] == pytest.approx([2.1, 2.0, 1.7, 1.6])  # the second training ends after two epochs
    band = next(item for item in axes.collections if isinstance(item, PolyCollection))
    heights = np.asarray(band.get_paths()[0].vertices)[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx((1.6, 2.3))
    assert any("band" in text for text in texts(figure))


def test_a_variant_whose_name_begins_with_an_underscore_is_in_the_legend() -> None:
    (legend,) = draw_losses({"_wide": [training()], "$b$": [training()]}).legends
    assert [text.get_text() for text in legend.get_texts()] == ["_wide", "$b$"]


def test_lines_differ_in_more_than_their_colours() -> None:
    figure = draw_validation({name: [training()] for name in "abcdefg"})
    looks = {(str(line.get_linestyle()), line.get_marker()) for line in figure.axes[0].lines}
    assert len(looks) == 7


def test_validation_has_three_panels_and_marks_the_best_epoch_of_a_single_training() -> None:
    figure = draw_validation({"CE": [training()]})
    assert [axes.get_title() for axes in figure.axes] == ["validation accuracy", "IoU", "kappa"]
    assert "best IoU: epoch 3" in texts(figure)
    assert not points(figure.axes[2].lines[0])[0].size  # kappa is undefined in all epochs


def test_an_epoch_with_an_undefined_iou_stands_above_those_with_false_positives() -> None:
    ious = (0.0, None, 0.0, None)
    accuracies = (0.99, 1.0, 0.999, 1.0)
    scores = zip(ious, accuracies, strict=True)
    rows = [{"epoch": n, "val_iou": iou, "val_accuracy": accuracy} for n, (iou, accuracy) in enumerate(scores, 1)]
    assert "best IoU: epoch 2" in texts(draw_validation({"CE": [rows]}))


def test_no_epoch_is_marked_for_several_trainings_or_without_epochs() -> None:
    several: Series = {"CE": [training(), training()]}
    none: Series = {"CE": [[]]}
    for series in (several, none):
        assert not any("best" in text for text in texts(draw_validation(series)))
