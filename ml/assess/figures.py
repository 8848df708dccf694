"""Figures: what people would rather look at. One palette everywhere: cane green, other black, unobserved grey."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from ml.geo.palette import CANE, OTHER, UNOBSERVED
from ml.geo.source import RasterSource
from ml.geo.windows import Window

PANEL_PX = 1024  # scenes are shown at most so wide: nobody sees more
NODATA = 255
# Debian's and Windows' fonts with Chinese, where there are any
mpl.rcParams["font.family"] = ["Noto Sans CJK SC", "Microsoft YaHei", "DejaVu Sans"]
Rgb = NDArray[np.float64]


@dataclass(frozen=True)
class Panel:
    """One picture of a row. image: (rows, cols, 3), 0 to 1."""

    title: str
    image: Rgb


def scene_panel(title: str, path: Path, nodata: float | None = None) -> Panel:
    """A scene in true colour, as far as its bands allow: bands 3, 2, 1 of four or more, else its first three."""
    with RasterSource(path, nodata) as source:
        image, valid = _thinned(source)
    order = (2, 1, 0) if len(image) >= 4 else (0, 1, 2) if len(image) == 3 else (0, 0, 0)
    low, high = np.percentile(image[:, valid], (2, 98), axis=1) if valid.any() else (0.0, 1.0)
    stretched = (image - np.reshape(low, (-1, 1, 1))) / np.maximum(np.reshape(high - low, (-1, 1, 1)), 1e-9)
    shown = np.moveaxis(stretched[list(order)].clip(0, 1), 0, -1)
    return Panel(title, np.where(valid[..., None], shown, _unit(UNOBSERVED)))


def mask_panel(title: str, path: Path) -> Panel:
    """A mask or a class map: class 1 green, others black, 255 grey."""
    with RasterSource(path, nodata=NODATA) as source:
        values, valid = _thinned(source)
    image = np.full((*valid.shape, 3), _unit(OTHER))
    image[values[0] == 1] = _unit(CANE)
    image[~valid] = _unit(UNOBSERVED)
    return Panel(title, image)


def draw_row(panels: Sequence[Panel], out: Path, *, caption: str = "") -> None:
    """Draw panels beside each other, with a legend, as PNG or SVG by the name of `out`."""
    figure = Figure(figsize=(5 * len(panels), 5.6), layout="constrained")
    for axes, panel in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        axes.imshow(panel.image, interpolation="nearest")
        axes.set_title(panel.title, fontsize=13)
        axes.set_axis_off()
    named = (("sugarcane", CANE), ("other", OTHER), ("not observed", UNOBSERVED))
    handles = [Patch(facecolor=_unit(colour), edgecolor="0.5", label=name) for name, colour in named]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=11)
    figure.suptitle(caption, fontsize=11)
    figure.savefig(out, dpi=110)


def _thinned(source: RasterSource) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Every n-th pixel, by strips, so that a large scene needs no more memory than its picture."""
    step = max(1, -(-max(source.rows, source.cols) // PANEL_PX))
    strips = []
    for row in range(0, source.rows, 256 * step):
        window = Window(row, 0, min(256 * step, source.rows - row), source.cols)
        image, valid = source.read(window)
        strips.append((image[:, ::step, ::step], valid[::step, ::step]))
    images, valids = zip(*strips, strict=True)
    return np.concatenate(images, axis=1), np.concatenate(valids)


def _unit(colour: tuple[int, int, int]) -> tuple[float, float, float]:
    red, green, blue = colour
    return red / 255, green / 255, blue / 255
