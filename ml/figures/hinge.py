"""Draw loss functions: the hinge beside similar ones, and the Lovász weights of an example (paper, Fig 6)."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ml.figures import Lang
from ml.figures.style import CURVES, LINES
from ml.figures.texts import words

PIXELS, POSITIVES = 40, 12  # all pixels of the example, and those of class 1
_SEED = 3


def lovasz_weights(positive: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The weight of each error in the Lovász hinge, float64 (pixels,).

    positive: Whether each pixel is of class 1, bool (pixels,), for all pixels of the image, the largest error first.
    This is the closed form of Berman, Triki and Blaschko 2018 (arXiv:1705.08790), algorithm 1: the growth of the
    Jaccard loss as one error after another is counted.
    """
    total = np.count_nonzero(positive)
    missed, wrong = np.cumsum(positive), np.cumsum(~positive)
    jaccard = 1 - (total - missed) / (total + wrong)
    return np.diff(jaccard, prepend=0.0)


def draw_hinge(*, lang: Lang = "en") -> Figure:
    """The loss of one pixel by its margin t * F, and the weight of each error of an example by its rank."""
    figure = Figure(figsize=(11, 4.3), layout="constrained")
    left, right = figure.subplots(1, 2)
    _surrogates(left, lang)
    _weights(right, lang)
    return figure


def _surrogates(axes: Axes, lang: Lang) -> None:
    say, margin = words(lang), np.linspace(-3, 3, 601)
    curves = {
        "zero-one": (margin < 0).astype(float),
        "hinge": np.maximum(0, 1 - margin),
        "logistic": np.log1p(np.exp(-margin)),
    }
    for number, (key, values) in enumerate(curves.items()):
        axes.plot(margin, values, color=CURVES[number], linestyle=LINES[number], linewidth=2, label=say(key))
    axes.axvspan(-3, 0, color="0.5", alpha=0.1, linewidth=0)
    for place, key in ((-1.5, "wrong"), (1.5, "right")):
        axes.text(place, 0.12 if key == "wrong" else 2.4, say(key), ha="center", color="0.3")
    axes.set(title=say("surrogates"), xlabel=say("margin"), ylabel=say("loss value"), xlim=(-3, 3), ylim=(-0.08, 4.1))
    axes.legend(frameon=False, loc="upper right")
    axes.grid(alpha=0.3)


def _weights(axes: Axes, lang: Lang) -> None:
    say, positive = words(lang), np.arange(PIXELS) < POSITIVES
    np.random.default_rng(_SEED).shuffle(positive)
    weights, ranks = lovasz_weights(positive), np.arange(1, PIXELS + 1)
    for number, (key, chosen) in enumerate((("cane pixel", positive), ("other pixel", ~positive))):
        hatch = "" if number == 0 else "////"
        axes.bar(ranks[chosen], weights[chosen], color=CURVES[number], hatch=hatch, edgecolor="white", label=say(key))
    title = say("weights", pixels=PIXELS, positives=POSITIVES)
    axes.set(title=title, xlabel=say("rank"), ylabel=say("weight"), xlim=(0, PIXELS + 1))
    axes.legend(frameon=False)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
