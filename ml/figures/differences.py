"""Draw the differences between variants with their intervals, as a forest plot."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ml.figures import Lang
from ml.figures.style import CURVES
from ml.figures.texts import words

_SURE, _UNSURE = CURVES[0], "0.5"  # the interval excludes 0, or includes it
_WIDTH_IN, _ROW_IN = 4.4, 0.62  # width of a panel and height of a row, in inches
Row = Mapping[str, Any]


def draw_differences(differences: Sequence[Row], *, lang: Lang = "en") -> Figure:
    """The difference of each pair of variants with its 95 % interval, in points of 0.01, with a panel for each metric.

    A filled point with a thick line means that the interval excludes 0. differences: Rows with "a", "b", "metric",
    "mean" (or None) and "ci95" ([low, high] or None) of a minus b, where metrics are 0 to 1.
    """
    say = words(lang)
    metrics = list(dict.fromkeys(row["metric"] for row in differences)) or ["no data"]
    pairs = list(dict.fromkeys((row["a"], row["b"]) for row in differences))
    size = 1.6 + _WIDTH_IN * len(metrics), 1.7 + _ROW_IN * len(pairs)
    figure = Figure(figsize=size, layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(metrics), sharex=True, sharey=True))
    for axes, metric in zip(panels, metrics, strict=True):
        for row in differences:
            if row["metric"] == metric and row["mean"] is not None:
                _draw(axes, pairs.index((row["a"], row["b"])), 100 * row["mean"], row.get("ci95"))
        axes.axvline(0, color="black", linewidth=1)
        axes.set_title(say(metric))
        axes.set_xlabel(say("points"))
        axes.margins(x=0.15)
        axes.grid(axis="x", alpha=0.3)
    panels[0].set_yticks(range(len(pairs)), [f"{a} − {b}" for a, b in pairs])
    panels[0].set_ylim(len(pairs) - 0.4, -0.7)
    figure.suptitle(say("interval"), fontsize=12)
    return figure


def _draw(axes: Axes, place: int, mean: float, interval: Sequence[float] | None) -> None:
    """Draw one difference.

    place: Number of the row. mean: Difference in points of 0.01. interval: Its interval, where metrics are 0 to 1.
    """
    low, high = (100 * end for end in interval) if interval else (mean, mean)
    sure = interval is not None and not low <= 0 <= high
    colour = _SURE if sure else _UNSURE
    axes.plot([low, high], [place, place], color=colour, linewidth=3 if sure else 1.6, solid_capstyle="butt")
    axes.plot([mean], [place], marker="o", markersize=8, color=colour, markerfacecolor=colour if sure else "white")
    text = f"{mean:+.2f}" + (f" [{low:+.2f}, {high:+.2f}]" if interval else "")
    clear = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}  # keeps the text readable across the line at zero
    axes.annotate(text, (mean, place), (0, 9), textcoords="offset points", ha="center", fontsize=9.5, bbox=clear)
