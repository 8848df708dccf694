"""What the losses punish: the margin of a pixel, and the rank of its error among all (the paper's Fig 6)."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from ml.assess.figures.style import CURVES, LINES, Lang

Floats = NDArray[np.float64]

_TEXTS: dict[str, dict[Lang, str]] = {
    "margins": {"en": "Loss of one pixel", "zh": "单个像元的损失"},
    "margin": {"en": "margin t·F  (t = ±1: truth, F: score of the net)", "zh": "间隔 t·F（t = ±1：真值，F：网络输出）"},
    "loss": {"en": "loss", "zh": "损失"},
    "zero_one": {"en": "0/1 loss", "zh": "0/1 损失"},
    "hinge": {"en": "hinge: max(0, 1 − t·F)", "zh": "Hinge 损失：max(0, 1 − t·F)"},
    "logistic": {"en": "cross-entropy: ln(1 + exp(−t·F))", "zh": "交叉熵：ln(1 + exp(−t·F))"},
    "wrong": {"en": "wrong", "zh": "分类错误"},
    "right": {"en": "right", "zh": "分类正确"},
    "ranks": {
        "en": "Weight of each error in the Lovász hinge",
        "zh": "Lovász hinge 损失中各误差的权重",
    },
    "rank": {"en": "rank of the error, largest first", "zh": "误差排序（由大到小）"},
    "weight": {"en": "weight: growth of the Jaccard loss 1 − IoU", "zh": "权重：Jaccard 损失（1 − 交并比）的增量"},
    "positive": {"en": "cane pixel (error: omission)", "zh": "甘蔗像元（误差：漏分）"},
    "negative": {"en": "other pixel (error: commission)", "zh": "其他像元（误差：错分）"},
    "example": {
        "en": "example: {pixels} pixels, {cane} of them cane\nall weights together: 1",
        "zh": "示例：{pixels} 个像元，其中甘蔗 {cane} 个\n权重之和为 1",
    },
}
_MARGIN = 3.0
# the truth of 40 pixels from the largest error to the smallest, 1 is cane: where a net errs most, there is more of it
EXAMPLE = (1, 0, 1, 1, 0, 0, 1, 0, 1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0,
           0, 0, 1, 0)  # fmt: skip


def jaccard_weights(truth: NDArray[np.int64]) -> Floats:
    """How much the Jaccard loss grows when each pixel joins the wrong ones, (pixels,).

    truth: (pixels,), 1 or 0, by decreasing error, with a 1 at least. With G ones in all, the loss after k pixels is
    J_k = 1 - (G - ones among them) / (G + zeros among them), and the weights are J_k - J_(k-1).
    """
    positives = truth.sum()
    jaccard = 1 - (positives - np.cumsum(truth)) / (positives + np.cumsum(1 - truth))
    weights: Floats = np.diff(jaccard, prepend=0.0)
    return weights


def draw_hinge(*, lang: Lang = "en") -> Figure:
    """Left the losses against the margin of a pixel; right the weights of the Lovász hinge in a small example."""
    figure = Figure(figsize=(12.4, 4.8), layout="constrained")
    margins, ranks = figure.subplots(1, 2)
    _draw_margins(margins, lang)
    _draw_ranks(ranks, np.array(EXAMPLE), lang)
    return figure


def _draw_margins(axes: Axes, lang: Lang) -> None:
    margin = np.linspace(-_MARGIN, _MARGIN, 241)
    hinge, logistic = np.maximum(0, 1 - margin), np.log1p(np.exp(-margin))
    axes.axvspan(-_MARGIN, 0, color="0.95", zorder=0)
    axes.plot([-_MARGIN, 0, 0, _MARGIN], [1, 1, 0, 0], color=CURVES[6], linestyle=LINES[3], linewidth=2.2,
              label=_TEXTS["zero_one"][lang])  # fmt: skip
    axes.plot(margin, hinge, color=CURVES[0], linestyle=LINES[0], linewidth=2.2, label=_TEXTS["hinge"][lang])
    axes.plot(margin, logistic, color=CURVES[1], linestyle=LINES[1], linewidth=2.2, label=_TEXTS["logistic"][lang])
    for x, text in ((-_MARGIN / 2, "wrong"), (_MARGIN / 2, "right")):
        axes.text(x, 0.3, _TEXTS[text][lang], ha="center", va="center", fontsize=12, color="0.35")
    axes.set(xlim=(-_MARGIN, _MARGIN), ylim=(-0.08, 1 + _MARGIN + 0.1))
    axes.set_title(_TEXTS["margins"][lang], fontsize=13)
    axes.set_xlabel(_TEXTS["margin"][lang], fontsize=11)
    axes.set_ylabel(_TEXTS["loss"][lang], fontsize=11)
    axes.legend(frameon=False, fontsize=11, loc="upper right", handlelength=3)


def _draw_ranks(axes: Axes, truth: NDArray[np.int64], lang: Lang) -> None:
    """truth: (pixels,), 1 or 0, by decreasing error."""
    kinds = {1: ("positive", CURVES[2]), 0: ("negative", CURVES[1])}
    colours = [kinds[int(label)][1] for label in truth]
    axes.bar(np.arange(1, len(truth) + 1), jaccard_weights(truth), color=colours, width=0.85)
    axes.set_xlim(0, len(truth) + 1)
    axes.set_title(_TEXTS["ranks"][lang], fontsize=13)
    axes.set_xlabel(_TEXTS["rank"][lang], fontsize=11)
    axes.set_ylabel(_TEXTS["weight"][lang], fontsize=11)
    handles = [Patch(color=colour, label=_TEXTS[kind][lang]) for kind, colour in kinds.values()]
    note = _TEXTS["example"][lang].format(pixels=len(truth), cane=int(truth.sum()))
    axes.legend(handles=handles, frameon=False, fontsize=11, loc="upper right", title=note, title_fontsize=11)
