"""Variants compared: the table of their figures, the forest plot of their differences, and the sweep of a weight."""

from collections.abc import Mapping, Sequence
from typing import Any
from unicodedata import east_asian_width

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ml.assess.figures.names import plain
from ml.assess.figures.style import CURVES, MARKERS, Lang

_TEXTS: dict[str, dict[Lang, str]] = {
    "variant": {"en": "variant", "zh": "方案"},
    "split": {"en": "split", "zh": "数据集"},
    "runs": {"en": "runs", "zh": "次数"},
    "accuracy": {"en": "overall accuracy", "zh": "总体精度"},
    "iou": {"en": "IoU", "zh": "交并比（IoU）"},
    "kappa": {"en": "kappa", "zh": "Kappa 系数"},
    "precision": {"en": "precision", "zh": "查准率"},
    "recall": {"en": "recall", "zh": "查全率"},
    "boundary_iou": {"en": "boundary IoU", "zh": "边界交并比"},
    "train": {"en": "training split", "zh": "训练集"},
    "val": {"en": "validation split", "zh": "验证集"},
    "test": {"en": "test split", "zh": "测试集"},
    "table": {"en": "Comparison of the variants", "zh": "各方案精度对比"},
    "note": {
        "en": "mean ± standard deviation over the runs; bold: best mean of the column; –: undefined",
        "zh": "均值 ± 标准差（多次训练）；粗体：该列最优均值；–：无定义",
    },
    "differences": {"en": "Differences between variants, with 95 % intervals", "zh": "方案间差异及 95% 置信区间"},
    "points": {"en": "difference (percentage points)", "zh": "差值（百分点）"},
    "against": {"en": "{a}\nagainst {b}", "zh": "{a}\n相对 {b}"},
    "apart": {"en": "interval without zero", "zh": "置信区间不含零"},
    "level": {"en": "interval with zero", "zh": "置信区间含零"},
    "alone": {"en": "no interval", "zh": "无置信区间"},
    "unknown": {"en": "unknown", "zh": "无定义"},
    "none": {"en": "nothing to compare", "zh": "无可比较的方案"},
    "sweep": {"en": "Figures against the weight of the Lovász loss", "zh": "精度随 Lovász 损失权重的变化"},
    "weight": {"en": "weight of the Lovász loss", "zh": "Lovász 损失权重"},
    "seed": {"en": "one run (seed)", "zh": "单次训练（随机种子）"},
    "mean": {"en": "mean over seeds", "zh": "各种子均值"},
}
_COLUMNS = ("accuracy", "iou", "kappa", "precision", "recall", "boundary_iou")
_COMPARED = ("accuracy", "iou", "kappa")
_POINTS = 100  # of a share of 1
_DIGITS = 4  # in the table, as in the other forms of it
_BOLD_FONT = "DejaVu Sans"  # comes with matplotlib and has a bold; a font with Chinese may have none
# in inches, for texts of 11 points
_LETTER, _GAP, _LINE, _TABLE_FRAME = 0.094, 0.35, 0.34, 1.25
_FOREST_PANEL, _FOREST_ROW, _FOREST_FRAME = 3.7, 0.72, 1.75
_SWEEP_PANEL = (4.4, 4.2)


def draw_table(table: Sequence[Mapping[str, Any]], *, lang: Lang = "en") -> Figure:
    """A typeset table, one line a variant: mean ± sd of each figure over the runs, the best mean of a column in bold.

    table: rows as of `ml.assess.comparison.VariantRow`: "variant", "split", "runs" and by figure {"mean", "sd"}, shares
    of 1, None where undefined.
    """
    splits = {str(row["split"]): _split(row, lang) for row in table}
    titles = [_TEXTS["variant"][lang], *(_TEXTS[name][lang] for name in _COLUMNS), _TEXTS["runs"][lang]]
    lines = [[plain(row["variant"]), *(_spread(row.get(name)) for name in _COLUMNS), str(row["runs"])] for row in table]
    if len(splits) > 1:
        titles.insert(1, _TEXTS["split"][lang])
        for line, row in zip(lines, table, strict=True):
            line.insert(1, _split(row, lang))
    shift = len(titles) - len(_COLUMNS) - 1  # columns before the figures
    bold = {(line, shift + column) for column, name in enumerate(_COLUMNS) for line in _best(table, name)}
    heading = _TEXTS["table"][lang]
    if len(splits) == 1:
        heading += {"en": ", {}", "zh": "（{}）"}[lang].format(*splits.values())
    return _typeset(heading, titles, lines, bold, _TEXTS["note"][lang])


def _split(row: Mapping[str, Any], lang: Lang) -> str:
    name = str(row["split"])
    return _TEXTS[name][lang] if name in ("train", "val", "test") else plain(name)


def _spread(spread: Mapping[str, float | None] | None) -> str:
    if spread is None or (mean := spread.get("mean")) is None:
        return "–"
    sd = spread.get("sd")
    return f"{mean:.{_DIGITS}f}" + (f" ± {sd:.{_DIGITS}f}" if sd is not None else "")


def _best(table: Sequence[Mapping[str, Any]], name: str) -> list[int]:
    """The lines with the highest mean as it is shown; none where there is only one to choose from."""
    means = {line: (row.get(name) or {}).get("mean") for line, row in enumerate(table)}
    shown = {line: round(mean, _DIGITS) for line, mean in means.items() if mean is not None}
    return [line for line, mean in shown.items() if mean == max(shown.values())] if len(shown) > 1 else []


def _typeset(
    heading: str, titles: Sequence[str], lines: Sequence[Sequence[str]], bold: set[tuple[int, int]], note: str
) -> Figure:
    """A table with three rules, as books have it. bold: (line, column) of cells."""
    widths = [_LETTER * max(map(_letters, column)) + _GAP for column in zip(titles, *lines, strict=True)]
    size = max(sum(widths), _LETTER * _letters(note)), _LINE * (len(lines) + 1) + _TABLE_FRAME
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(0, sum(widths)), ylim=(len(lines) + 0.5, -0.5))
    axes.set_axis_off()
    starts = np.cumsum([0, *widths[:-1]])
    for number, cells in enumerate((titles, *lines)):
        for column, (start, width, cell) in enumerate(zip(starts, widths, cells, strict=True)):
            x, side = (start + _GAP / 4, "left") if column == 0 else (start + width / 2, "center")
            text = axes.text(x, number, cell, ha=side, va="center", fontsize=11)
            if (number - 1, column) in bold:
                text.set(fontweight="bold", fontfamily=_BOLD_FONT, fontsize=10.5)
    for y, width in ((-0.5, 1.6), (0.5, 0.9), (len(lines) + 0.5, 1.6)):
        axes.plot([0, sum(widths)], [y, y], color="black", linewidth=width, clip_on=False)
    axes.set_title(heading, fontsize=13, pad=12)
    figure.supxlabel(note, fontsize=10, color="0.3")
    return figure


def _letters(text: str) -> int:
    """The width of a text in Latin letters: a Chinese one is two wide."""
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text)


def draw_differences(differences: Sequence[Mapping[str, Any]], *, lang: Lang = "en") -> Figure:
    """A forest plot: the difference of each pair of variants and its 95 % interval, a panel a metric, a row a pair.

    differences: as of `ml.assess.comparison.Difference`: "a", "b", "metric", "mean" and "ci95" (low, high), shares of
    1, None where unknown. Drawn in percentage points.
    """
    found = {(str(item["a"]), str(item["b"]), str(item["metric"])): item for item in differences}
    pairs = list(dict.fromkeys((a, b) for a, b, _ in found))
    metrics = list(dict.fromkeys(metric for _, _, metric in found)) or list(_COMPARED)
    names = [_TEXTS["against"][lang].format(a=plain(a), b=plain(b)) for a, b in pairs]
    beside = _LETTER * max((_letters(part) for name in names for part in name.split("\n")), default=0)
    size = beside + _FOREST_PANEL * len(metrics), _FOREST_FRAME + _FOREST_ROW * max(1, len(pairs))
    figure = Figure(figsize=size, layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(metrics), sharey=True))
    for axes, metric in zip(panels, metrics, strict=True):
        for row, (a, b) in enumerate(pairs):
            _draw_difference(axes, row, found.get((a, b, metric), {}), lang)
        axes.axvline(0, color="0.3", linewidth=1, zorder=0)
        axes.set_ylim(max(1, len(pairs)) - 0.5, -0.7)
        axes.margins(x=0.12)
        axes.grid(visible=True, axis="x", color="0.92")
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", length=0)
        axes.set_title(_TEXTS[metric][lang] if metric in _COLUMNS else plain(metric), fontsize=12)
        axes.set_xlabel(_TEXTS["points"][lang], fontsize=11)
        if not pairs:
            axes.text(0.5, 0.5, _TEXTS["none"][lang], transform=axes.transAxes, ha="center", color="0.4")
    panels[0].set_yticks(range(len(pairs)), names, fontsize=11)
    figure.suptitle(_TEXTS["differences"][lang], fontsize=13)
    kinds = dict.fromkeys(_kind(item) for item in differences if item["mean"] is not None)
    handles = [Line2D([], [], **_style(kind), markersize=8, label=_TEXTS[kind][lang]) for kind in kinds]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=11)
    return figure


def _draw_difference(axes: Axes, row: int, item: Mapping[str, Any], lang: Lang) -> None:
    """A point with its interval, and its numbers above."""
    if item.get("mean") is None:
        axes.text(0, row, _TEXTS["unknown"][lang], ha="center", va="center", fontsize=10, color="0.4",
                  bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5})  # fmt: skip
        return
    mean, text = _POINTS * item["mean"], f"{_POINTS * item['mean']:+.2f}"
    style = _style(_kind(item))
    if item.get("ci95"):
        low, high = (_POINTS * end for end in item["ci95"])
        axes.plot([low, high], [row, row], color=style["color"], linewidth=2.2, solid_capstyle="butt")
        axes.plot([low, high], [row, row], color=style["color"], marker="|", markersize=9, linestyle="")
        text += f"  [{low:.2f}, {high:.2f}]"
    axes.plot([mean], [row], markersize=8, **style)
    axes.annotate(text, (mean, row), xytext=(0, 9), textcoords="offset points", ha="center", fontsize=9.5)


def _kind(item: Mapping[str, Any]) -> str:
    if not item.get("ci95"):
        return "alone"
    low, high = item["ci95"]
    return "apart" if low > 0 or high < 0 else "level"


def _style(kind: str) -> dict[str, Any]:
    """A filled point where there is a difference, a hollow one where there may be none."""
    colour = {"apart": CURVES[0], "level": CURVES[1], "alone": "0.4"}[kind]
    face = colour if kind == "apart" else "white"
    return {
        "color": colour,
        "marker": MARKERS[3 if kind == "alone" else 0],
        "linestyle": "",
        "markerfacecolor": face,
        "markeredgewidth": 1.8,
    }


def draw_sweep(runs: Sequence[tuple[float, int, Mapping[str, float | None]]], *, lang: Lang = "en") -> Figure:
    """Accuracy, IoU and kappa against the weight of the Lovász loss: each run a point, the mean over seeds a line.

    runs: weight, seed, and the metrics "accuracy", "iou" and "kappa", shares of 1, None where undefined. As in the
    table, a weight has no mean if a run of it is undefined.
    """
    width, height = _SWEEP_PANEL
    figure = Figure(figsize=(width * len(_COMPARED), height), layout="constrained")
    weights = sorted({weight for weight, _, _ in runs})
    for axes, metric in zip(figure.subplots(1, len(_COMPARED)), _COMPARED, strict=True):
        values = [(weight, metrics.get(metric)) for weight, _, metrics in runs]
        known = [(weight, value) for weight, value in values if value is not None]
        undefined = {weight for weight, value in values if value is None}
        means = [
            np.nan if at in undefined else np.mean([value for weight, value in known if weight == at]) for at in weights
        ]
        axes.plot(weights, means, color=CURVES[0], linewidth=2, marker="_", markersize=16, markeredgewidth=2.5)
        axes.scatter(*zip(*known, strict=True), **_DOT) if known else None
        axes.set_title(_TEXTS[metric][lang], fontsize=12)
        axes.set_xlabel(_TEXTS["weight"][lang], fontsize=11)
        axes.grid(visible=True, color="0.92")
        axes.set_axisbelow(True)
    handles = [
        Line2D([], [], color=CURVES[0], linewidth=2, label=_TEXTS["mean"][lang]),
        Line2D([], [], marker="o", markersize=6, color="white", markeredgecolor=CURVES[1], linestyle="",
               label=_TEXTS["seed"][lang]),
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize=11)
    figure.suptitle(_TEXTS["sweep"][lang], fontsize=13)
    return figure


_DOT: dict[str, Any] = {"s": 34, "facecolors": "white", "edgecolors": CURVES[1], "linewidths": 1.4, "zorder": 3}
