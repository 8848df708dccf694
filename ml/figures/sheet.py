"""A map sheet to print: the scene with the map over it, zones, legend, scale bar, north arrow and the hectares.

All places are those of the square world of web maps (`ml.products.web_grid`), where north is up everywhere.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap

import numpy as np
import shapely
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path as MatplotlibPath
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from ml.figures import Lang, Paper
from ml.figures.maps import unit
from ml.figures.texts import words
from ml.products.web_grid import WORLD_M, WorldBox, lonlat, world

_MM: dict[Paper, tuple[float, float]] = {"a4": (297, 210), "a3": (420, 297)}
_ROWS: dict[Paper, int] = {"a4": 22, "a3": 40}  # of the table of areas
_MM_PER_INCH = 25.4
_MARGIN_MM = 12
_MU = 15  # in a hectare
_NAME = 12  # characters of a zone or a class in the table; the map has the whole names of zones
_NOTE_CHARACTERS = 84  # of a line of notes; Chinese characters are twice as wide
_HALO = [withStroke(linewidth=2, foreground="white")]


@dataclass(frozen=True)
class Layer:
    """A picture, uint8 RGB or RGBA, shape (rows, cols, 3 or 4), and where it lies."""

    pixels: NDArray[np.uint8]
    box: WorldBox


@dataclass(frozen=True)
class Zone:
    """The outline of a zone, in longitudes and latitudes, and what is written in it."""

    label: str
    outline: BaseGeometry


@dataclass(frozen=True)
class AreaLine:
    """Hectares of a class in a zone, or in the whole map. ci95_ha: None if there is no interval."""

    zone: str
    class_name: str
    mapped_ha: float | None
    estimated_ha: float | None
    ci95_ha: tuple[float, float] | None


@dataclass(frozen=True)
class Sheet:
    """All that a map sheet shows.

    facts: Words of `ml.figures.texts` with their values, like ("model", "cane:3"). layers: From the lowest one to the
    uppermost; the lowest fills the map. legend: Names and colours of classes. notes: Sentences below the table.
    sampled: Whether estimates, if there are any, come from a sample, and not from the errors of the model. ground: The
    outline of what was mapped, in longitudes and latitudes, if no layer shows it: it is white, and all else is grey.
    """

    title: str
    facts: Sequence[tuple[str, str]]
    layers: Sequence[Layer]
    legend: Sequence[tuple[str, tuple[int, int, int]]]
    zones: Sequence[Zone]
    areas: Sequence[AreaLine]
    notes: Sequence[str] = ()
    sampled: bool = False
    ground: BaseGeometry | None = None


def draw_sheet(sheet: Sheet, paper: Paper, lang: Lang) -> Figure:
    """The sheet on a page of `paper` across, with its words in `lang`."""
    width, height = _MM[paper]
    figure = Figure(figsize=(width / _MM_PER_INCH, height / _MM_PER_INCH))
    size = min(18, (width - 2 * _MARGIN_MM) / _MM_PER_INCH * 72 / max(1, len(sheet.title)))  # no character is wider
    figure.text(_MARGIN_MM / width, 1 - _MARGIN_MM / height, sheet.title, fontsize=size, va="top")
    bottom, high = _MARGIN_MM + 6, height - 2 * _MARGIN_MM - 20
    column_mm = 0.35 * width

    def axes(left: float, wide: float) -> Axes:
        return figure.add_axes((left / width, bottom / height, wide / width, high / height))

    left = _MARGIN_MM + 9  # labels of latitudes are beside the map
    _draw_map(axes(left, width - left - column_mm - 2 * _MARGIN_MM), sheet)
    column = _Column(axes(width - column_mm - _MARGIN_MM, column_mm), high / _MM_PER_INCH * 72)
    _fill(column, sheet, _ROWS[paper], lang)
    return figure


def _draw_map(axes: Axes, sheet: Sheet) -> None:
    box = sheet.layers[0].box
    axes.set_facecolor("0.93")
    if sheet.ground is not None:
        _draw_ground(axes, sheet.ground, box)
    for layer in sheet.layers:
        extent = (layer.box.west, layer.box.east, layer.box.south, layer.box.north)
        axes.imshow(layer.pixels, extent=extent, interpolation="nearest")
    for zone in sheet.zones:
        _draw_zone(axes, zone, box)
    axes.set(xlim=(box.west, box.east), ylim=(box.south, box.north))
    axes.set_aspect("equal", anchor="NW")
    axes.spines[:].set_visible(True)
    _label_degrees(axes, box)
    _draw_scale(axes, box)
    arrow = {"arrowstyle": "-|>", "linewidth": 1.5, "facecolor": "black"}
    axes.annotate(
        *("N", (0.95, 0.98), (0.95, 0.88), "axes fraction"),
        arrowprops=arrow,
        fontsize=12,
        ha="center",
        path_effects=_HALO,
    )


def _draw_ground(axes: Axes, ground: BaseGeometry, box: WorldBox) -> None:
    """Fill the outline of what was mapped, below all layers."""
    for part in shapely.get_parts(_placed(ground, box)):
        rings = [shapely.get_coordinates(ring) for ring in shapely.get_rings(part)]
        path = MatplotlibPath.make_compound_path(*(MatplotlibPath(ring, closed=True) for ring in rings))
        axes.add_patch(PathPatch(path, facecolor="white", edgecolor="0.6", linewidth=0.5, zorder=-1))


def _placed(outline: BaseGeometry, box: WorldBox) -> BaseGeometry:
    """An outline in longitudes and latitudes as one in the square world, beside a box."""
    found: BaseGeometry = shapely.transform(outline, lambda lonlats: _beside(np.column_stack(world(lonlats)), box))
    return found


def _draw_zone(axes: Axes, zone: Zone, box: WorldBox) -> None:
    """Draw the outline of a zone, and its label in the part of it that the sheet shows."""
    outline = _placed(zone.outline, box)
    shown = shapely.box(box.west, box.north, box.east, box.south)
    for ring in shapely.get_rings(shapely.get_parts(outline)):
        x, y = shapely.get_coordinates(ring).T
        axes.plot(x, y, color="white", linewidth=2.0)
        axes.plot(x, y, color="black", linewidth=0.9)
    part = shapely.make_valid(outline).intersection(shown)
    if part.area > 0:
        x, y = shapely.get_coordinates(part.representative_point())[0]
        axes.text(x, y, zone.label, fontsize=8, ha="center", va="center", path_effects=_HALO, clip_on=True)


def _beside(places: NDArray[np.float64], box: WorldBox) -> NDArray[np.float64]:
    """Places moved by whole turns of the Earth so that they lie beside a box, which may cross the date line."""
    x, y = places.T
    return np.column_stack([x - np.round(x - (box.west + box.east) / 2), y])


def _label_degrees(axes: Axes, box: WorldBox) -> None:
    """Label the frame with round longitudes and latitudes."""
    (west, east), (north, south) = lonlat(np.array([box.west, box.east]), np.array([box.north, box.south]))
    steps = MaxNLocator(4, steps=[1, 2, 5, 10])
    lon, lat = (
        _inside(np.asarray(steps.tick_values(low, high)), low, high) for low, high in ((west, east), (south, north))
    )
    x, _ = world(np.column_stack([lon, np.zeros_like(lon)]))
    _, y = world(np.column_stack([np.zeros_like(lat), lat]))
    axes.set_xticks(x, [_degrees((value + 180) % 360 - 180, "EW") for value in lon], fontsize=7)
    axes.set_yticks(y, [_degrees(value, "NS") for value in lat], fontsize=7, rotation=90, va="center")


def _inside(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """The values between the limits that are not so near to them that labels of two sides would touch."""
    margin = 0.04 * (high - low)
    return np.array([value for value in values if low + margin <= value <= high - margin])


def _degrees(value: float, sides: str) -> str:
    return f"{abs(value):.6f}".rstrip("0").rstrip(".") + f"° {sides[int(value < 0)]}"


def _draw_scale(axes: Axes, box: WorldBox) -> None:
    """Draw a scale bar of a round length, at most a third of the map wide. It is true in the middle of the map."""
    _, latitude = lonlat(np.array([box.west]), np.array([(box.north + box.south) / 2]))
    world_m = WORLD_M * math.cos(math.radians(float(latitude[0])))
    wide, high = box.east - box.west, box.south - box.north
    most_m = wide * world_m / 3
    power = 10.0 ** math.floor(math.log10(most_m))
    length_m = max(step * power for step in (1, 2, 5) if step * power <= most_m)
    left, top = box.west + 0.04 * wide, box.south - 0.04 * high
    right = left + length_m / world_m
    for color, width in (("white", 6), ("black", 3)):
        axes.plot([left, right], [top, top], color=color, linewidth=width, solid_capstyle="butt")
    text = f"{length_m / 1000:g} km" if length_m >= 1000 else f"{length_m:g} m"
    axes.text((left + right) / 2, top - 0.015 * high, text, fontsize=9, ha="center", va="bottom", path_effects=_HALO)


def _fill(column: "_Column", sheet: Sheet, rows: int, lang: Lang) -> None:
    """Fill what stands beside the map: facts, legend, a table of at most `rows` rows, and notes."""
    say = words(lang)
    column.write([f"{say(word)}: {value}" for word, value in sheet.facts], 9)
    column.legend(sheet.legend)
    estimated = "sampled ha" if sheet.sampled else "estimated ha"
    head = [say(word) for word in ("zone", "class", "mapped ha", "mapped mu", estimated, "ci95 ha")]
    column.table(head, [list(_cells(line)) for line in sheet.areas[:rows]])
    left_out = len(sheet.areas) - rows
    notes = [*([say("more rows", count=left_out)] if left_out > 0 else []), *sheet.notes]
    column.write([line for note in notes for line in wrap(note, _NOTE_CHARACTERS // (1 + (lang == "zh")))], 7)


class _Column:
    """Fills axes from the top down; heights are in points."""

    def __init__(self, axes: Axes, height: float) -> None:
        """Begin at the top. height: Of the axes, in points."""
        axes.set_axis_off()
        self._axes, self._points, self._top = axes, height, 1.0

    def write(self, lines: Sequence[str], size: float) -> None:
        """Write lines of a font size in points."""
        text = self._axes.text(0, self._top, "\n".join(lines), transform=self._axes.transAxes, va="top")
        text.set(fontsize=size, linespacing=1.5)
        self._go_down(size * 1.6 * len(lines))

    def legend(self, named: Sequence[tuple[str, tuple[int, int, int]]]) -> None:
        """Draw the names and colours of classes."""
        handles = [Patch(facecolor=unit(colour), edgecolor="0.4", label=name) for name, colour in named]
        self._axes.legend(
            handles=handles,
            loc="upper left",
            bbox_to_anchor=(0, self._top),
            borderaxespad=0,
            frameon=False,
            fontsize=9,
            handlelength=1.5,
        )
        self._go_down(15 * len(named))

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Draw a table."""
        high = 13 * (len(rows) + 1) / self._points
        box = Bbox.from_bounds(0, self._top - high, 1, high)
        table = self._axes.table(rows, colLabels=head, bbox=box, cellLoc="right", edges="horizontal")
        table.auto_set_font_size(False)
        table.set_fontsize(7)
        table.auto_set_column_width(range(len(head)))
        for cell in table.get_celld().values():
            cell.set(linewidth=0.4)
        self._go_down(high * self._points)

    def _go_down(self, points: float) -> None:
        self._top -= (points + 12) / self._points


def _cells(line: AreaLine) -> Iterator[str]:
    """The cells of a row of the table. The mu are those of the map in every row, so those of zones can be added."""
    yield from (f"{name[: _NAME - 1]}…" if len(name) > _NAME else name for name in (line.zone, line.class_name))
    mapped_mu = None if line.mapped_ha is None else line.mapped_ha * _MU
    yield from map(_number, (line.mapped_ha, mapped_mu, line.estimated_ha))
    yield " – ".join(map(_number, line.ci95_ha)) if line.ci95_ha else "–"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.1f}"
