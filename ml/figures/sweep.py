"""What the weight of the Lovász loss does: accuracy, IoU and kappa against it."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ml.figures import Lang
from ml.figures.style import CURVES, MARKERS
from ml.figures.texts import words

METRICS = ("accuracy", "iou", "kappa")
ScoredTraining = tuple[float, int, Mapping[str, float | None]]  # weight, seed, metrics


def draw_sweep(runs: Sequence[ScoredTraining], *, lang: Lang = "en") -> Figure:
    """Each run as a point, the mean over the seeds as a line, a panel for each metric; the best mean is ringed."""
    say = words(lang)
    figure = Figure(figsize=(12.6, 4.3), layout="constrained")
    for axes, metric in zip(figure.subplots(1, len(METRICS)), METRICS, strict=True):
        known = [(weight, value) for weight, _, metrics in runs if (value := metrics.get(metric)) is not None]
        told = _draw(axes, known, lang) if known else say("no data")
        axes.set_title(f"{say(metric)}\n{told}", fontsize=11)
        axes.set_xlabel(say("lovasz weight"))
        axes.grid(alpha=0.3)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    return figure


def _draw(axes: Axes, points: Sequence[tuple[float, float]], lang: Lang) -> str:
    """points: weight and value. Gives what the best mean is, in words."""
    say, (across, up) = words(lang), np.array(points).T
    weights = np.unique(across)
    means = np.array([up[across == weight].mean() for weight in weights])
    best = int(means.argmax())
    axes.scatter(across, up, s=28, facecolors="none", edgecolors="0.45", label=say("seed"))
    axes.plot(weights, means, color=CURVES[0], marker=MARKERS[0], linewidth=2, label=say("mean"))
    axes.scatter(weights[best], means[best], s=190, facecolors="none", edgecolors=CURVES[1], linewidths=2)
    return say("best mean", value=means[best], weight=weights[best])
