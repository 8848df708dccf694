"""Draw scenes before and after homogenisation, and the histograms of their bands (paper, Fig 3)."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ml.figures import Lang
from ml.figures.cutouts import Picture
from ml.figures.painting import show
from ml.figures.style import CURVES, LINES
from ml.figures.texts import words
from ml.products.palette import UNOBSERVED

_BINS = 64
_SIDE_IN = 2.9  # inches
_CHANNELS = 3


def draw_homogenisation(before: Sequence[Picture], after: Sequence[Picture], *, lang: Lang = "en") -> Figure:
    """The scenes before and after, and below them the histograms of the three channels, with a curve for each scene.

    Homogenisation should bring the histograms together. before, after: The same scenes in the same order, uint8 images
    with the same stretch of values.
    """
    say = words(lang)
    columns = max(len(before), 2)
    figure = Figure(figsize=(_SIDE_IN * columns + 0.4, 2 * _SIDE_IN + 5.2), layout="constrained")
    pictures, plots = figure.subfigures(2, 1, squeeze=False, height_ratios=(2 * _SIDE_IN, 4.8))[:, 0]
    grid = pictures.subplots(2, len(before), squeeze=False)
    for axes, scenes, state in zip(grid, (before, after), ("before", "after"), strict=True):
        for cell, scene in zip(axes, scenes, strict=True):
            show(cell, scene.image, say(state, name=scene.name))
    panels = plots.subplots(2, _CHANNELS, sharex=True, sharey="col")
    for row, scenes, state in zip(panels, (before, after), ("before", "after"), strict=True):
        for channel, axes in enumerate(row):
            _histograms(axes, scenes, channel)
            axes.set_title(say(state, name=say("channel", number=channel + 1)), fontsize=10)
    for axes in panels[-1]:
        axes.set_xlabel(say("pixel value"))
    for axes in panels[:, 0]:
        axes.set_ylabel(say("pixel share"))
    lines = panels[0, 0].get_lines()
    names = [str(line.get_label()) for line in lines]  # matplotlib itself would leave out names that begin with "_"
    plots.legend(lines, names, loc="outside lower center", ncols=columns, frameon=False)
    return figure


def _histograms(axes: Axes, scenes: Sequence[Picture], channel: int) -> None:
    for number, scene in enumerate(scenes):
        shares, edges = _histogram(scene, channel)
        style = number % len(CURVES)
        axes.plot(edges[:-1], 100 * shares, color=CURVES[style], linestyle=LINES[style], label=scene.name)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)


def _histogram(scene: Picture, channel: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share of the pixels in each bin, and the edges of the bins; grey pixels, which are unobserved, are left out."""
    observed = (scene.image != UNOBSERVED).any(axis=-1)
    counts, edges = np.histogram(scene.image[observed, channel], bins=_BINS, range=(0, 256))
    return counts / max(1, counts.sum()), edges
