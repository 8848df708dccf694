"""Draw the net: its levels with their sizes, the connections between them, and a table of its layers (Fig 7)."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch

from ml.figures import Lang
from ml.figures.style import CURVES
from ml.figures.texts import words

_CONNECTIONS = {"pool": CURVES[1], "up": CURVES[2], "skip": "0.45", "head": CURVES[3]}
_INTO = "0.15"
_BOX, _PLAIN = "#CFE3F1", "#EEEEEE"
_HALF_WIDTH, _HALF_HEIGHT = 0.42, 0.25  # of a box; boxes are one unit apart
_ROW_STRETCH = 1.25  # of the table
_COLUMN_IN, _LEVEL_IN, _ROW_IN, _TABLE_IN = 1.0, 1.0, 0.27, 4.9  # inches


@dataclass(frozen=True)
class NetBlock:
    """A block of the net.

    kind: "input", "encoder", "bottom", "up-conv", "decoder" or "output". level: Level of the block; 1 is the finest.
    channels: Number of its output channels. size: Side of its output in pixels. parameters: Number of its parameters.
    """

    kind: str
    level: int
    channels: int
    size: int
    parameters: int


def unet_layers(bands: int, depth: int, width: int, outputs: int, size: int) -> tuple[NetBlock, ...]:
    """The blocks of `ml.nn.unet.UNet(bands, depth, width, outputs)` for chips of `size` pixels, from input to output.

    size: Side of the chips in pixels, a multiple of 2^depth.
    """
    layers, channels = [NetBlock("input", 1, bands, size, 0)], bands
    for level in range(1, depth + 2):
        wider = width * 2 ** (level - 1)
        kind = "encoder" if level <= depth else "bottom"
        layers.append(NetBlock(kind, level, wider, size >> (level - 1), _double_conv(channels, wider)))
        channels = wider
    for level in range(depth, 0, -1):
        upper, side = width * 2 ** (level - 1), size >> (level - 1)
        layers.append(NetBlock("up-conv", level, upper, side, 4 * 2 * upper * upper + upper))
        layers.append(NetBlock("decoder", level, upper, side, _double_conv(2 * upper, upper)))
    return (*layers, NetBlock("output", 1, outputs, size, width * outputs + outputs))


def draw_unet(bands: int, depth: int, width: int, outputs: int, size: int, *, lang: Lang = "en") -> Figure:
    """The net as a drawing in the form of a U, beside the table of the blocks that `unet_layers` returns."""
    say, layers = words(lang), unet_layers(bands, depth, width, outputs, size)
    across = (2 * depth + 3) * _COLUMN_IN
    height = max((depth + 1) * _LEVEL_IN + 1.6, (len(layers) + 2) * _ROW_IN + 0.6)
    figure = Figure(figsize=(across + _TABLE_IN, height), layout="constrained")
    net, table = figure.subplots(1, 2, width_ratios=(across, _TABLE_IN))
    _draw_net(net, [layer for layer in layers if layer.kind != "up-conv"], depth, lang)
    _draw_table(table, layers, lang)
    figure.suptitle(say("net", bands=bands, depth=depth, width=width, outputs=outputs), fontsize=13)
    return figure


def _double_conv(inputs: int, outputs: int) -> int:
    """Parameters of two 3x3 convolutions without bias, each with the scale and the shift of its BatchNorm."""
    return 9 * inputs * outputs + 9 * outputs * outputs + 4 * outputs


def _draw_net(axes: Axes, boxes: Sequence[NetBlock], depth: int, lang: Lang) -> None:
    """Draw the boxes and the arrows, with one column for each box and one row for each level."""
    say = words(lang)
    for column, layer in enumerate(boxes):
        _draw_box(axes, column, layer)
    for level in range(1, depth + 1):
        left, right = level, 2 * depth + 2 - level
        _arrow(axes, (left, -level - _HALF_HEIGHT), (left + 1, -level - 1 + _HALF_HEIGHT), "pool")
        _arrow(axes, (right - 1, -level - 1 + _HALF_HEIGHT), (right, -level - _HALF_HEIGHT), "up")
        _arrow(axes, (left + _HALF_WIDTH, -level), (right - _HALF_WIDTH, -level), "skip")
    last = len(boxes) - 1
    _arrow(axes, (_HALF_WIDTH, -1), (1 - _HALF_WIDTH, -1), "in")
    _arrow(axes, (last - 1 + _HALF_WIDTH, -1), (last - _HALF_WIDTH, -1), "head")
    axes.set(xlim=(-0.5, last + 0.5), ylim=(-depth - 1.5, -0.3))
    axes.set_axis_off()
    box = Patch(facecolor=_BOX, edgecolor="0.3", label=say("box"))
    sizes = Patch(facecolor=_PLAIN, edgecolor="0.3", label=say("boxes"))
    connections = [
        Line2D([], [], color=colour, linestyle="--" if key == "skip" else "-", label=say(key))
        for key, colour in _CONNECTIONS.items()
    ]
    handles = [sizes, box, *connections]
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=2, frameon=False, fontsize=9)


def _draw_box(axes: Axes, column: int, layer: NetBlock) -> None:
    plain = layer.kind in ("input", "output")
    corner = column - _HALF_WIDTH, -layer.level - _HALF_HEIGHT
    shape = "round,pad=0,rounding_size=0.06"
    colour = _PLAIN if plain else _BOX
    sides = 2 * _HALF_WIDTH, 2 * _HALF_HEIGHT
    axes.add_patch(FancyBboxPatch(corner, *sides, boxstyle=shape, facecolor=colour, edgecolor="0.3"))
    text = f"{layer.channels}\n{layer.size} × {layer.size}"
    axes.text(column, -layer.level, text, ha="center", va="center", fontsize=9, linespacing=1.25)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], connection: str) -> None:
    arrow = FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=11, shrinkA=0, shrinkB=0)
    arrow.set(color=_CONNECTIONS.get(connection, _INTO), linestyle="--" if connection == "skip" else "-", linewidth=1.5)
    axes.add_patch(arrow)


def _draw_table(axes: Axes, layers: Sequence[NetBlock], lang: Lang) -> None:
    say = words(lang)
    rows = [
        (say(layer.kind, level=layer.level), f"{layer.channels} × {layer.size} × {layer.size}", f"{layer.parameters:,}")
        for layer in layers
    ]
    total = say("total"), "", f"{sum(layer.parameters for layer in layers):,}"
    table = axes.table(
        [*rows, total],
        colLabels=[say("layer"), say("output shape"), say("parameters")],
        colWidths=[0.36, 0.38, 0.26],
        loc="center",
        edges="horizontal",
    )
    table.auto_set_font_size(False)
    table.set_fontsize(9.5)
    table.scale(1, _ROW_STRETCH)
    for (_, column), cell in table.get_celld().items():
        cell.set_edgecolor("0.8")
        cell.set_text_props(ha=("left", "center", "right")[column])
    axes.set_axis_off()
