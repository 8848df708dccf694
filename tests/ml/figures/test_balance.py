"""Class balance: pies for few classes, bars for many."""

from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle, Wedge

from ml.figures.balance import draw_balance
from tests.ml.figures.drawn import texts

COLOURS = {"other": (0, 0, 0), "sugarcane": (76, 175, 80)}
BEFORE = {"other": 6154, "sugarcane": 3846}


def test_two_classes_are_drawn_as_pies_in_their_colours() -> None:
    figure = draw_balance(BEFORE, {"other": 500, "sugarcane": 500}, COLOURS, area_ha={"other": 0.4, "sugarcane": 1234})
    before, after = figure.axes
    wedges = [patch for patch in before.patches if isinstance(patch, Wedge)]
    assert [round((wedge.theta2 - wedge.theta1) / 360, 4) for wedge in wedges] == [0.6154, 0.3846]
    assert [to_hex(wedge.get_facecolor()) for wedge in wedges] == ["#000000", "#4caf50"]
    shown = texts(figure)
    assert "sugarcane: 38.46 %\n3,846 px, 1,234.0 ha" in shown
    assert "sugarcane: 50.00 %\n500 px" in shown
    assert (before.get_title(), after.get_title()) == ("before balancing", "after balancing")


def test_many_classes_are_drawn_as_bars() -> None:
    names = ["a", "b", "c", "d", "e"]
    figure = draw_balance(dict.fromkeys(names, 3), None, dict.fromkeys(names, (1, 2, 3)))
    (axes,) = figure.axes
    bars = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert [bar.get_width() for bar in bars] == [20.0] * 5
    assert "20.00 %  (3 px)" in texts(figure)


def test_a_figure_without_labelled_pixels_says_so() -> None:
    assert "no labelled pixels" in texts(draw_balance(dict.fromkeys(BEFORE, 0), None, COLOURS))
