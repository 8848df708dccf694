"""Draw curves over the epochs of one or several trainings: losses and validation (paper, Figs 8, 10 and 11)."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ml.evaluation.metrics import standing
from ml.figures import Lang
from ml.figures.style import CURVES, LINES, MARKERS
from ml.figures.texts import words

Row = Mapping[str, float | int | None]
Series = Mapping[str, Sequence[Sequence[Row]]]  # by variant: a list for each seed, with a row for each epoch
VALIDATED = {"val_accuracy": "validation accuracy", "val_iou": "iou", "val_kappa": "kappa"}
_MARKS = 8  # marks on a curve, by which it is recognised without colours
_PANEL_WIDTH, _PANEL_HEIGHT = 4.6, 3.9  # inches


def draw_losses(series: Series, *, lang: Lang = "en") -> Figure:
    """The training loss and its parts by epoch.

    One training has all curves in one panel. Several trainings have a panel for each part, with a curve for each
    variant.

    series: Rows with "epoch", counted from 1, "loss", and "loss_..." for each part before it is weighted; a value that
    is missing is None.
    """
    say, keys = words(lang), _losses(series)
    if len(_trainings(series)) > 1:
        figure = _by_variant(series, {key: say(key) for key in keys}, lang)
        _legend(figure, series, lang)
        return figure
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    for number, key in enumerate(keys):
        _curve(axes, _values(_trainings(series), key), number, say(key))
    axes.set_title(next(iter(series)))
    axes.legend(frameon=False)
    _finish(axes, say("epoch"), say("training loss"))
    return figure


def draw_validation(series: Series, *, lang: Lang = "en") -> Figure:
    """Accuracy, IoU and kappa on the validation split by epoch, with a panel for each metric.

    For a single training, the epoch that was kept is marked. series: Rows with "epoch", counted from 1,
    "val_accuracy", "val_iou" and "val_kappa".
    """
    say, trainings = words(lang), _trainings(series)
    figure = _by_variant(series, {key: say(text) for key, text in VALIDATED.items()}, lang)
    if len(trainings) == 1 and (best := _best_epoch(trainings[0])):
        for axes in figure.axes:
            axes.axvline(best, color="0.45", linestyle=":", label=say("best", epoch=best))
    figure.suptitle(say("validation"), fontsize=12)
    _legend(figure, series, lang)
    return figure


def _best_epoch(training: Sequence[Row]) -> int | None:
    """The epoch of a training that stands highest, the first of several; None if no epoch was validated."""
    validated = [row for row in training if row.get("val_accuracy") is not None]
    best = max(validated, key=lambda row: standing(row.get("val_iou"), row.get("val_accuracy")), default=None)
    return None if best is None else int(best["epoch"] or 0)


def _by_variant(series: Series, panels: Mapping[str, str], lang: Lang) -> Figure:
    """A figure with a panel for each key and a curve for each variant. panels: Title of each panel, by key."""
    figure = Figure(figsize=(_PANEL_WIDTH * max(1.4, len(panels)), _PANEL_HEIGHT), layout="constrained")
    for axes, (key, title) in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels.items(), strict=True):
        for number, (variant, trainings) in enumerate(series.items()):
            _curve(axes, _values(trainings, key), number, variant)
        axes.set_title(title)
        _finish(axes, words(lang)("epoch"), "")
    return figure


def _legend(figure: Figure, series: Series, lang: Lang) -> None:
    """Add one legend for all panels; its title explains the bands, if there are any."""
    handles = figure.axes[0].get_lines()
    labels = [str(line.get_label()) for line in handles]  # matplotlib itself would leave out names that begin with "_"
    title = words(lang)("band") if any(len(trainings) > 1 for trainings in series.values()) else None
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)), frameon=False, title=title)


def _curve(axes: Axes, values: NDArray[np.float64], number: int, label: str) -> None:
    """Draw the mean of `values` over the trainings, in a band from the lowest to the highest value.

    values: Values by training and epoch, shape (trainings, epochs); NaN is left out. number: Number of the curve, which
    determines its style.
    """
    known = ~np.isnan(values).all(axis=0)
    epochs, values = np.arange(1, values.shape[1] + 1)[known], values[:, known]
    colour, line, mark = (cycle[number % len(CURVES)] for cycle in (CURVES, LINES, MARKERS))
    mean, every = np.nanmean(values, axis=0), max(1, len(epochs) // _MARKS)
    axes.plot(epochs, mean, color=colour, linestyle=line, marker=mark, markevery=every, markersize=5, label=label)
    if len(values) > 1:
        low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
        axes.fill_between(epochs, low, high, color=colour, alpha=0.18, linewidth=0)


def _values(trainings: Sequence[Sequence[Row]], key: str) -> NDArray[np.float64]:
    """Values by training and epoch, shape (trainings, epochs), NaN where a training has no such epoch or value."""
    last = max((int(row["epoch"] or 0) for training in trainings for row in training), default=0)
    values = np.full((len(trainings), last), np.nan)
    for index, training in enumerate(trainings):
        for row in training:
            value = row.get(key)
            values[index, int(row["epoch"] or 0) - 1] = np.nan if value is None else value
    return values


def _losses(series: Series) -> list[str]:
    """The key "loss", and the keys of its parts if there are several; a single part is the loss itself."""
    rows = [row for training in _trainings(series) for row in training]
    found = [key for row in rows for key, value in row.items() if key.startswith("loss_") and value is not None]
    parts = list(dict.fromkeys(found))
    return ["loss", *parts] if len(parts) > 1 else ["loss"]


def _trainings(series: Series) -> list[Sequence[Row]]:
    return [training for trainings in series.values() for training in trainings]


def _finish(axes: Axes, across: str, up: str) -> None:
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
