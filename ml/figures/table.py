"""Draw the comparison of variants as a typeset table (paper, Table 1)."""

from collections.abc import Mapping, Sequence
from typing import Any
from unicodedata import east_asian_width

from matplotlib.figure import Figure

from ml.figures import Lang
from ml.figures.texts import words

METRICS = ("accuracy", "iou", "kappa", "precision", "recall", "f1", "omission", "commission", "boundary_iou")
LESS_IS_BETTER = ("omission", "commission")
_COLUMN_IN, _ROW_IN, _LETTER_IN = 1.55, 0.36, 0.088  # inches
_BEST = "#E4F1E4"
_BOLD = {"weight": "bold", "family": "DejaVu Sans"}  # fonts with Chinese may have no bold digits
_NONE = "–"
Row = Mapping[str, Any]


def draw_table(table: Sequence[Row], *, lang: Lang = "en") -> Figure:
    """Mean ± standard deviation of each metric by variant; the best mean of each split is bold.

    table: Rows {"variant", "split", "runs", "accuracy": {"mean", "sd"}, "iou": ..., ...}; a metric that no variant has
    is left out.
    """
    say = words(lang)
    metrics = [metric for metric in METRICS if any(_mean(row, metric) is not None for row in table)]
    lines = len(table) + 2
    widest = max((_letters(row["variant"]) for row in table), default=0)
    sheet = _Sheet(widest * _LETTER_IN / _COLUMN_IN, len(metrics), lines)
    sheet.rule(0, 1.4)
    sheet.line([say("variant"), say("split"), *map(say, metrics), say("runs")])
    sheet.rule(1, 0.8)
    for row in table:
        rivals = [rival for rival in table if rival["split"] == row["split"]]
        best = [len(rivals) > 1 and _is_best(row, rivals, metric) for metric in metrics]
        cells = [_cell(row, metric) for metric in metrics]
        sheet.line([row["variant"], say(row["split"]), *cells, str(row["runs"])], bold=[False, False, *best, False])
    sheet.rule(lines - 1, 1.4)
    sheet.line([say("table note")])
    return sheet.figure


class _Sheet:
    """Lines of cells from top to bottom; the first column is aligned left, the others are centred."""

    def __init__(self, names: float, metrics: int, lines: int) -> None:
        """Make an empty sheet.

        names: Width of the first column, in widths of the others. metrics: Number of columns of metrics. lines: Number
        of lines.
        """
        self._next = 0
        self._centres = [0.0, names + 0.4, *(names + 1.3 + index for index in range(metrics)), names + metrics + 1.1]
        right = self._centres[-1] + 0.3
        self.figure = Figure(figsize=(_COLUMN_IN * right, _ROW_IN * lines), layout="constrained")
        self._axes = self.figure.subplots()
        self._axes.set(xlim=(-0.05, right), ylim=(lines, -0.1))
        self._axes.set_axis_off()

    def line(self, cells: Sequence[str], bold: Sequence[bool] = ()) -> None:
        """Add a line of cells; bold: Whether each cell is bold, by default none."""
        for index, text in enumerate(cells):
            strong = index < len(bold) and bold[index]
            align = "left" if index == 0 else "center"
            self._axes.text(
                self._centres[index],
                self._next + 0.5,
                text,
                ha=align,
                va="center",
                fontsize=10.5,
                bbox={"facecolor": _BEST, "edgecolor": "none", "pad": 3} if strong else None,
                fontdict=_BOLD if strong else None,
            )
        self._next += 1

    def rule(self, above: int, width: float) -> None:
        """Draw a rule above the line with the number `above`; width: Width of the rule in points."""
        self._axes.axhline(above, color="black", linewidth=width)


def _letters(text: str) -> int:
    """The width of a text in Latin letters; a Chinese character is as wide as two of them."""
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text)


def _mean(row: Row, metric: str) -> float | None:
    spread = row.get(metric) or {}
    return spread.get("mean")


def _cell(row: Row, metric: str) -> str:
    mean = _mean(row, metric)
    if mean is None:
        return _NONE
    sd = row[metric].get("sd")
    return f"{mean:.4f}" if sd is None else f"{mean:.4f} ± {sd:.4f}"


def _is_best(row: Row, rivals: Sequence[Row], metric: str) -> bool:
    """Whether the mean of a metric in `row` is the best of all `rivals`, which include `row`."""
    means = [mean for rival in rivals if (mean := _mean(rival, metric)) is not None]
    return bool(means) and _mean(row, metric) == (min if metric in LESS_IS_BETTER else max)(means)
