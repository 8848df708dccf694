"""Curves over the epochs of one or several trainings: losses and validation (paper, Figs 8, 10 and 11)."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ml.figures import Lang
from ml.figures.style import CURVES, LINES, MARKERS
from ml.figures.texts import words

Row = Mapping[str, float | int | None]
Series = Mapping[str, Sequence[Sequence[Row]]]  # by variant: the runs, one a seed, each with one row an epoch
VALIDATED = {"val_accuracy": "validation accuracy", "val_iou": "iou", "val_kappa": "kappa"}
_MARKS = 8  # on a curve, so that it is recognised without colours
_PANEL_WIDTH, _PANEL_HEIGHT = 4.6, 3.9  # inches


def draw_losses(series: Series, *, lang: Lang = "en") -> Figure:
    """The training loss and its parts by epoch.

    series: rows with "epoch" from 1, "loss" and "loss_..." for each part before it is weighted; None where there is
    none. One run: all in one panel. Several: a panel for each part, a curve for each variant.
    """
    say, keys = words(lang), _losses(series)
    if len(_runs(series)) > 1:
        figure = _by_variant(series, {key: say(key) for key in keys}, lang)
        _legend(figure, series, lang)
        return figure
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    for number, key in enumerate(keys):
        _curve(axes, _values(_runs(series), key), number, say(key))
    axes.set_title(next(iter(series)))
    axes.legend(frameon=False)
    _finish(axes, say("epoch"), say("training loss"))
    return figure


def draw_validation(series: Series, *, lang: Lang = "en") -> Figure:
    """Accuracy, IoU and kappa on the validation split by epoch, a panel each.

    series: rows with "epoch" from 1, "val_accuracy", "val_iou" and "val_kappa". Of a single run the epoch with the
    best IoU is marked.
    """
    say, runs = words(lang), _runs(series)
    figure = _by_variant(series, {key: say(text) for key, text in VALIDATED.items()}, lang)
    iou = _values(runs, "val_iou")
    if len(runs) == 1 and not np.isnan(iou).all():
        best = int(np.nanargmax(iou)) + 1
        for axes in figure.axes:
            axes.axvline(best, color="0.45", linestyle=":", label=say("best", epoch=best))
    figure.suptitle(say("validation"), fontsize=12)
    _legend(figure, series, lang)
    return figure


def _by_variant(series: Series, panels: Mapping[str, str], lang: Lang) -> Figure:
    """A panel for each key, with its title; a curve for each variant."""
    figure = Figure(figsize=(_PANEL_WIDTH * max(1.4, len(panels)), _PANEL_HEIGHT), layout="constrained")
    for axes, (key, title) in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels.items(), strict=True):
        for number, (variant, runs) in enumerate(series.items()):
            _curve(axes, _values(runs, key), number, variant)
        axes.set_title(title)
        _finish(axes, words(lang)("epoch"), "")
    return figure


def _legend(figure: Figure, series: Series, lang: Lang) -> None:
    """One for all panels; it says what the bands are, if there are any."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    title = words(lang)("band") if any(len(runs) > 1 for runs in series.values()) else None
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)), frameon=False, title=title)


def _curve(axes: Axes, values: NDArray[np.float64], number: int, label: str) -> None:
    """The mean of `values`, (runs, epochs), over the runs, in a band from lowest to highest; NaN is left out."""
    known = ~np.isnan(values).all(axis=0)
    epochs, values = np.arange(1, values.shape[1] + 1)[known], values[:, known]
    colour, line, mark = (cycle[number % len(CURVES)] for cycle in (CURVES, LINES, MARKERS))
    mean, every = np.nanmean(values, axis=0), max(1, len(epochs) // _MARKS)
    axes.plot(epochs, mean, color=colour, linestyle=line, marker=mark, markevery=every, markersize=5, label=label)
    if len(values) > 1:
        low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
        axes.fill_between(epochs, low, high, color=colour, alpha=0.18, linewidth=0)


def _values(runs: Sequence[Sequence[Row]], key: str) -> NDArray[np.float64]:
    """(runs, epochs), NaN where a run has no such epoch or no such value."""
    last = max((int(row["epoch"] or 0) for run in runs for row in run), default=0)
    values = np.full((len(runs), last), np.nan)
    for index, run in enumerate(runs):
        for row in run:
            value = row.get(key)
            values[index, int(row["epoch"] or 0) - 1] = np.nan if value is None else value
    return values


def _losses(series: Series) -> list[str]:
    """ "loss", and its parts where it has more than one: a single part is the loss itself."""
    rows = [row for run in _runs(series) for row in run]
    found = [key for row in rows for key, value in row.items() if key.startswith("loss_") and value is not None]
    parts = list(dict.fromkeys(found))
    return ["loss", *parts] if len(parts) > 1 else ["loss"]


def _runs(series: Series) -> list[Sequence[Row]]:
    return [run for runs in series.values() for run in runs]


def _finish(axes: Axes, across: str, up: str) -> None:
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
