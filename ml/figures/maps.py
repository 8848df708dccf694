"""Draw scenes, masks and maps beside each other, directly from their files."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from ml.contract import MAP_NODATA
from ml.figures.cutouts import true_colour
from ml.figures.style import DPI
from ml.geo.areas import HECTARE_M2, pixel_area_ha
from ml.geo.grid import grid_of
from ml.geo.raster import open_raster
from ml.geo.windows import Window
from ml.products.palette import CANE, OTHER, UNOBSERVED
from ml.products.write import class_areas_ha
from ml.scenes.source import RasterSource

PANEL_PX = 1024  # scenes are shown with at most this number of pixels a side; more would not be visible
Rgb = NDArray[np.float64]


@dataclass(frozen=True)
class Panel:
    """One picture of a row.

    title: Title of the picture. image: Colours from 0 to 1, shape (rows, cols, 3). pixel_m: Width of a pixel in metres
    for a scale bar, or None for no scale bar.
    """

    title: str
    image: Rgb
    pixel_m: float | None = None


def scene_panel(title: str, path: Path, nodata: float | None = None) -> Panel:
    """A scene in true colour, as far as its bands allow; see `ml.figures.cutouts.colour_bands`."""
    with RasterSource(path, nodata) as source:
        image, valid = _thinned(source)
    shown = true_colour(image, valid, bands=[""] * len(image)) / 255
    with open_raster(path) as dataset:
        grid = grid_of(dataset)
    pixel_ha = pixel_area_ha(grid, np.array(grid.rows / 2), np.array(grid.cols / 2))
    return Panel(title, shown, math.sqrt(pixel_ha * HECTARE_M2) * grid.cols / shown.shape[1])


def mask_panel(title: str, path: Path) -> Panel:
    """A mask or a class map: class 1 is green, others are black, 255 is grey. The title has the hectares of class 1."""
    with RasterSource(path, nodata=MAP_NODATA) as source:
        values, valid = _thinned(source)
    image = np.full((*valid.shape, 3), unit(OTHER))
    image[values[0] == 1] = unit(CANE)
    image[~valid] = unit(UNOBSERVED)
    return Panel(f"{title}: {class_areas_ha(path).get(1, 0.0):,.1f} ha", image)


def draw_row(panels: Sequence[Panel], out: Path, *, caption: str = "", mapped: str = "sugarcane") -> None:
    """Draw panels in a row into the file `out`, a PNG or an SVG by its name; the legend calls class 1 `mapped`."""
    figure = Figure(figsize=(5 * len(panels), 5.6), layout="constrained")
    for axes, panel in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        axes.imshow(panel.image, interpolation="nearest")
        axes.set_title(panel.title, fontsize=13)
        axes.set_axis_off()
        if panel.pixel_m:
            scale_bar(axes, panel.image.shape, panel.pixel_m)
    named = ((mapped, CANE), ("other", OTHER), ("not observed", UNOBSERVED))
    handles = [Patch(facecolor=unit(colour), edgecolor="0.5", label=name) for name, colour in named]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=11)
    figure.suptitle(caption, fontsize=11)
    figure.savefig(out, dpi=DPI)


def scale_bar(axes: Axes, shape: tuple[int, ...], pixel_m: float) -> None:
    """Draw a scale bar of a round length, at most a third of the picture wide, at the lower left.

    shape: Shape of the picture, rows and columns first. pixel_m: Width of a pixel in metres.
    """
    rows, cols = shape[:2]
    most_m = cols * pixel_m / 3
    power = 10 ** math.floor(math.log10(most_m))
    length_m = max(step * power for step in (1, 2, 5) if step * power <= most_m)
    text = f"{length_m / 1000:g} km" if length_m >= 1000 else f"{length_m:g} m"
    left, top, height = 0.04 * cols, 0.95 * rows, 0.012 * rows
    axes.add_patch(Rectangle((left, top), length_m / pixel_m, height, facecolor="white", edgecolor="black"))
    outline = [withStroke(linewidth=2.5, foreground="black")]
    axes.text(left, top - height / 2, text, color="white", fontsize=11, va="bottom", path_effects=outline)


def _thinned(source: RasterSource) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Every n-th pixel and its validity, read by strips, so that a large scene needs little memory."""
    step = max(1, -(-max(source.rows, source.cols) // PANEL_PX))
    strips = []
    for row in range(0, source.rows, 256 * step):
        window = Window(row, 0, min(256 * step, source.rows - row), source.cols)
        image, valid = source.read(window)
        strips.append((image[:, ::step, ::step], valid[::step, ::step]))
    images, valids = zip(*strips, strict=True)
    return np.concatenate(images, axis=1), np.concatenate(valids)


def unit(colour: tuple[int, int, int]) -> tuple[float, float, float]:
    """A colour with parts from 0 to 255 as matplotlib wants it, from 0 to 1."""
    red, green, blue = colour
    return red / 255, green / 255, blue / 255
