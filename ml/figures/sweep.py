"""Draw accuracy, IoU and kappa by the weight of the Lovász loss."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ml.figures import Lang
from ml.figures.style import CURVES, MARKERS
from ml.figures.texts import words

METRICS = ("accuracy", "iou", "kappa")
ScoredTraining = tuple[float, int, Mapping[str, float | None]]  # weight, seed, metrics


def draw_sweep(trainings: Sequence[ScoredTraining], *, lang: Lang = "en") -> Figure:
    """A panel for each metric: trainings as points, the mean over the seeds as a line, and a ring at the best mean.

    A weight has no mean, and so no place on the line, if the metric is undefined for any of its trainings.
    """
    say = words(lang)
    figure = Figure(figsize=(12.6, 4.3), layout="constrained")
    for axes, metric in zip(figure.subplots(1, len(METRICS)), METRICS, strict=True):
        values = np.array([metrics.get(metric) for _, _, metrics in trainings], dtype=np.float64)  # NaN for None
        best = _draw(axes, np.array([weight for weight, _, _ in trainings]), values, lang)
        axes.set_title(f"{say(metric)}\n{best}", fontsize=11)
        axes.set_xlabel(say("lovasz weight"))
        axes.grid(alpha=0.3)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    return figure


def _draw(axes: Axes, weights: NDArray[np.float64], values: NDArray[np.float64], lang: Lang) -> str:
    """Draw one metric; return a text with the best mean. weights, values: Of each training; NaN is undefined."""
    say = words(lang)
    places = np.unique(weights)
    means = np.array([values[weights == place].mean() for place in places])
    axes.scatter(weights, values, s=28, facecolors="none", edgecolors="0.45", label=say("seed"))
    axes.plot(places, means, color=CURVES[0], marker=MARKERS[0], linewidth=2, label=say("mean"))
    if np.isnan(means).all():
        return say("no data")
    best = int(np.nanargmax(means))
    axes.scatter(places[best], means[best], s=190, facecolors="none", edgecolors=CURVES[1], linewidths=2)
    return say("best mean", value=means[best], weight=places[best])
