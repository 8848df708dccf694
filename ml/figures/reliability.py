"""Draw how often a net is right, by how sure it is (reliability diagram)."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ml.evaluation.calibration import Calibrated, Calibration, Reliability
from ml.figures import Lang
from ml.figures.style import CURVES, LINES, MARKERS
from ml.figures.texts import words


def draw_reliability(calibration: Calibration, *, lang: Lang = "en") -> Figure:
    """A panel for the val split, and one for the test split if there is one, before and after the calibration.

    Below the diagonal the net is too sure. The area of a mark grows with the share of the pixels that it stands for.
    """
    say = words(lang)
    splits = {"val": calibration.val} | ({"test": calibration.test} if calibration.test else {})
    figure = Figure(figsize=(4.9 * len(splits), 4.9), layout="constrained")
    for axes, (split, found) in zip(np.atleast_1d(figure.subplots(1, len(splits))), splits.items(), strict=True):
        axes.set_title(say(split))
        _draw(axes, found, lang)
    figure.suptitle(say("temperature", value=calibration.temperature), fontsize=12)
    return figure


def _draw(axes: Axes, found: Calibrated, lang: Lang) -> None:
    say = words(lang)
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, label=say("as sure as right"))
    for number, (key, of) in enumerate((("uncalibrated", found.before), ("calibrated", found.after))):
        _curve(axes, of, number, say(key, ece=of.ece))
    axes.set_xlabel(say("confidence"))
    axes.set_ylabel(say("share right"))
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_aspect("equal")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="upper left")


def _curve(axes: Axes, of: Reliability, number: int, label: str) -> None:
    """Draw the bins that have pixels. number: Number of the curve, which determines its style."""
    known = [index for index, count in enumerate(of.pixels) if count]
    across, up = ([values[index] for index in known] for values in (of.confidence, of.accuracy))
    shares = [of.pixels[index] / sum(of.pixels) for index in known]
    axes.plot(across, up, color=CURVES[number], linestyle=LINES[number], label=label)  # type: ignore[arg-type]  # none is None
    sizes = [12 + 200 * share for share in shares]
    axes.scatter(across, up, sizes, color=CURVES[number], marker=MARKERS[number], alpha=0.7)  # type: ignore[arg-type]  # none is None
