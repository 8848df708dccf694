"""Draws seconds and peak memory against the size of the scene, with logarithmic axes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from ml.figures.style import CURVES, LINES, MARKERS, render

MEASURES = {"seconds": "Time, s", "peak_mb": "Peak memory, MB"}


def draw(points: Sequence[dict[str, Any]], path: str) -> None:
    """Write an SVG of `bench_scale.Point`s. A dotted line has time linear in pixels from the first point of canemap."""
    figure = Figure(figsize=(10, 4.3), layout="constrained")
    for axes, (measure, title) in zip(figure.subplots(1, len(MEASURES)), MEASURES.items(), strict=True):
        _curves(axes, points, measure)
        axes.set(xscale="log", yscale="log", xlabel="Megapixels", title=title)
        _plain_ticks(axes)
        axes.grid(alpha=0.3)
    _linear(figure.axes[0], [point for point in points if point["name"] == "canemap"])
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(render(figure, "svg"))


def _curves(axes: Axes, points: Sequence[dict[str, Any]], measure: str) -> None:
    for index, name in enumerate(dict.fromkeys(point["name"] for point in points)):
        own = [(_megapixels(point), point[measure]) for point in points if point["name"] == name]
        across, up = zip(*own, strict=True)
        axes.plot(across, up, color=CURVES[index], linestyle=LINES[index], marker=MARKERS[index], label=name)


def _linear(axes: Axes, own: Sequence[dict[str, Any]]) -> None:
    across = np.array([_megapixels(point) for point in own])
    axes.plot(across, own[0]["seconds"] * across / across[0], color="0.6", linestyle=":", label="linear in pixels")


def _plain_ticks(axes: Axes) -> None:
    """Label the ticks of an axis 1, 2, 5, 10, ...: the style of canemap's figures cannot write powers."""
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(StrMethodFormatter("{x:,g}"))
        axis.set_minor_formatter(NullFormatter())


def _megapixels(point: dict[str, Any]) -> float:
    return float(point["size"] ** 2 / 1e6)
