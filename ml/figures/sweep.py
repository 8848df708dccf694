"""Draw accuracy, IoU and kappa by the weight of the Lovász loss."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ml.figures import Lang
from ml.figures.style import CURVES, MARKERS
from ml.figures.texts import words

METRICS = ("accuracy", "iou", "kappa")
ScoredTraining = tuple[float, int, Mapping[str, float | None]]  # weight, seed, metrics


def draw_sweep(trainings: Sequence[ScoredTraining], *, lang: Lang = "en") -> Figure:
    """A panel for each metric: trainings as points, the mean over the seeds as a line, and a ring at the best mean."""
    say = words(lang)
    figure = Figure(figsize=(12.6, 4.3), layout="constrained")
    for axes, metric in zip(figure.subplots(1, len(METRICS)), METRICS, strict=True):
        known = [(weight, value) for weight, _, metrics in trainings if (value := metrics.get(metric)) is not None]
        best = _draw(axes, known, lang) if known else say("no data")
        axes.set_title(f"{say(metric)}\n{best}", fontsize=11)
        axes.set_xlabel(say("lovasz weight"))
        axes.grid(alpha=0.3)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    return figure


def _draw(axes: Axes, points: Sequence[tuple[float, float]], lang: Lang) -> str:
    """Draw one metric; return a text with the best mean. points: Weight and value of each training."""
    say, (across, up) = words(lang), np.array(points).T
    weights = np.unique(across)
    means = np.array([up[across == weight].mean() for weight in weights])
    best = int(means.argmax())
    axes.scatter(across, up, s=28, facecolors="none", edgecolors="0.45", label=say("seed"))
    axes.plot(weights, means, color=CURVES[0], marker=MARKERS[0], linewidth=2, label=say("mean"))
    axes.scatter(weights[best], means[best], s=190, facecolors="none", edgecolors=CURVES[1], linewidths=2)
    return say("best mean", value=means[best], weight=weights[best])
