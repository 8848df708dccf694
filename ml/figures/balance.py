"""Draw how many labelled pixels each class has, before and after balancing (paper, Figs 2 and 5)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ml.figures import Lang
from ml.figures.texts import words
from ml.products.palette import Rgb

MOST_IN_A_PIE = 4  # more slices are hard to compare
_EDGE = "0.35"


def draw_balance(
    before: Mapping[str, int],
    after: Mapping[str, int] | None,
    colours: Mapping[str, Rgb],
    *,
    area_ha: Mapping[str, float] | None = None,
    lang: Lang = "en",
) -> Figure:
    """The shares of the classes in the labelled pixels: pies as in the paper, or horizontal bars for many classes.

    before, after: Labelled pixels by class name before and after balancing; after is None if there is no balancing.
    colours: Colour of each class by name. area_ha: Hectares by class name, before balancing.
    """
    say = words(lang)
    if after is None:
        states = {say("balance"): (before, area_ha)}
    else:
        states = {say("before balancing"): (before, area_ha), say("after balancing"): (after, None)}
    many = len(before) > MOST_IN_A_PIE
    figure = Figure(figsize=(5.4 * len(states), 1.4 + 0.42 * len(before) if many else 4.8), layout="constrained")
    for axes, (title, (pixels, hectares)) in zip(
        np.atleast_1d(figure.subplots(1, len(states))), states.items(), strict=True
    ):
        axes.set_title(title, fontsize=13)
        (_bars if many else _pie)(axes, [_slice(name, pixels, hectares, colours, lang) for name in pixels], lang)
    return figure


@dataclass(frozen=True)
class _Slice:
    """One class in the figure.

    name: Name of the class. share: Percent of all labelled pixels. amount: Text with the pixels, and with the hectares
    if they are known. colour: Red, green and blue, 0 to 1.
    """

    name: str
    share: float
    amount: str
    colour: tuple[float, float, float]


def _slice(
    name: str,
    pixels: Mapping[str, int],
    area_ha: Mapping[str, float] | None,
    colours: Mapping[str, Rgb],
    lang: Lang,
) -> _Slice:
    amount = words(lang)("pixels", count=pixels[name])
    if area_ha is not None:
        amount += words(lang)("hectares", area=area_ha[name])
    share = 100 * pixels[name] / max(1, sum(pixels.values()))
    red, green, blue = colours[name]
    return _Slice(name, share, amount, (red / 255, green / 255, blue / 255))


def _pie(axes: Axes, slices: Sequence[_Slice], lang: Lang) -> None:
    """Draw a pie with its numbers in a legend below it; beside thin slices they would overlap."""
    if any(item.share for item in slices):
        axes.pie(
            [item.share for item in slices],
            colors=[item.colour for item in slices],
            startangle=90,
            counterclock=False,
            wedgeprops={"edgecolor": "white", "linewidth": 0.8},
        )
    else:
        axes.text(0.5, 0.5, words(lang)("no pixels"), ha="center", va="center")
        axes.set_axis_off()
    handles = [
        Patch(facecolor=item.colour, edgecolor=_EDGE, label=f"{item.name}: {item.share:.2f} %\n{item.amount}")
        for item in slices
    ]
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=2, frameon=False, fontsize=11)


def _bars(axes: Axes, slices: Sequence[_Slice], lang: Lang) -> None:
    axes.barh(
        [item.name for item in slices],
        [item.share for item in slices],
        color=[item.colour for item in slices],
        edgecolor=_EDGE,
    )
    for place, item in enumerate(slices):
        text = f"{item.share:.2f} %  ({item.amount})"
        axes.annotate(text, (item.share, place), (4, 0), textcoords="offset points", va="center", fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.9 * max(1.0, *(item.share for item in slices)))  # room for the numbers beside the longest bar
    axes.set_xlabel(words(lang)("share"))
