"""Draws a part of a scene as a picture in Web Mercator: a map tile, or a preview."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field
from rasterio.enums import ColorInterp

from ml.frozen import Frozen
from ml.geo.crs import turned
from ml.geo.grid import Grid, grid_of
from ml.geo.windows import Window
from ml.products.web_grid import TILE_PX, WorldBox, lonlat, world_box
from ml.scenes.source import RasterSource

MOST_PX = 4096  # sides of a picture
_EVERY_PX = 8  # places are computed for the pixels of a net of this width, and interpolated between them
_FEW_PX = 4 * _EVERY_PX
_FINER = 4  # times as many rows and columns as the picture has are read at most
_SAMPLE_PX = 1024  # sides of what percentiles are computed from
_LEAST_SAMPLE_PX = 512
Range = tuple[float, float]
"""The values that are drawn dark and bright, in physical units; the first is smaller."""


class Place(Frozen):
    """Where a picture lies in the square world, which goes from 0 at its north-western corner to 1.

    west, north: Corner of the picture; west may lie beyond 0 and 1. side: Side of a pixel. rows, cols: Size in pixels.
    """

    west: float
    north: float
    side: float = Field(gt=0)
    rows: int = Field(ge=1, le=MOST_PX)
    cols: int = Field(ge=1, le=MOST_PX)


class Percentiles(Frozen):
    """The percentiles of each band between which it is drawn, over the whole scene."""

    low: float = Field(2.0, ge=0, le=100)
    high: float = Field(98.0, ge=0, le=100)


class Style(Frozen):
    """How the bands of a scene become colours.

    bands: Numbers of one band, drawn in grey, or of three, drawn in red, green and blue; the first band is 0.
    stretch: Ranges of values, one for each band; or percentiles; or None for the colours of the file's palette, or the
        default percentiles of a file without one.
    """

    bands: Annotated[tuple[int, ...], Field(min_length=1, max_length=3)]
    stretch: tuple[Range, ...] | Percentiles | None = None


@dataclass(frozen=True)
class SceneFile:
    """A scene on disk, and what is known of it.

    nodata, names: As its owner declared them, as for `RasterSource`. extremes: Smallest and largest value of each band.
    """

    path: Path
    nodata: float | None
    names: tuple[str, ...]
    extremes: tuple[Range, ...]

    def open(self, overview: int | None = None) -> RasterSource:
        """Open the file. overview: As for `RasterSource`."""
        return RasterSource(self.path, self.nodata, self.names, overview)


@dataclass(frozen=True)
class Picture:
    """A part of a scene in colours.

    pixels: Red, green, blue and alpha, uint8 (rows, cols, 4); all are 0 where the scene shows nothing.
    ranges: Those between which each band was drawn; None for the colours of a palette.
    """

    pixels: np.ndarray
    ranges: tuple[Range, ...] | None


def draw(scene: SceneFile, style: Style, place: Place) -> Picture:
    """Draw a part of a scene. Each pixel has the colour of the pixel of the scene at its centre.

    Where the pixels of the picture are larger than those of the scene, they are taken from an overview of the file.

    Raises:
        InputRefused: corrupt_tiff if the file is damaged there.
    """
    with scene.open() as source:
        grid, overviews = grid_of(source.dataset), source.dataset.overviews(1)
        palette = _palette(source) if style.stretch is None else None
    ranges = None if palette is not None else _ranges(scene, style, overviews)
    cols, rows, step = _pixels_at(grid, place)
    level = sum(factor <= step for factor in overviews)
    with scene.open(level - 1 if level else None) as source:
        values, shown = _taken(source, cols * (source.cols / grid.cols), rows * (source.rows / grid.rows))
    chosen = values[list(style.bands)]
    colours = palette[chosen[0].astype(int)] if palette is not None else _stretched(chosen, ranges or ())
    return Picture(np.where(shown[..., None], colours, np.uint8(0)), ranges)


def tile_place(zoom: int, col: int, row: int) -> Place:
    """The place of a tile of WebMercatorQuad."""
    side = 1 / 2**zoom
    return Place(west=col * side, north=row * side, side=side / TILE_PX, rows=TILE_PX, cols=TILE_PX)


def preview_place(box: WorldBox, zoom: int, max_size: int) -> Place:
    """The place of a picture of a whole box with sides of at most `max_size` px, but no larger than at `zoom`."""
    width, height = box.east - box.west, box.south - box.north
    side = max(1 / (TILE_PX << zoom), max(width, height) / max_size)
    rows, cols = (min(max_size, max(1, round(length / side))) for length in (height, width))
    return Place(west=box.west, north=box.north, side=side, rows=rows, cols=cols)


def _palette(source: RasterSource) -> np.ndarray | None:
    """The colours of a file with a palette, by value: red, green, blue and alpha, (values, 4); None if it has none."""
    if source.dataset.colorinterp[0] != ColorInterp.palette or source.scaled:
        return None
    colours = source.dataset.colormap(1)
    table = np.zeros((1 << 8 * source.dtype.itemsize, 4), dtype=np.uint8)
    table[list(colours)] = list(colours.values())
    return table


def _ranges(scene: SceneFile, style: Style, overviews: Sequence[int]) -> tuple[Range, ...]:
    if isinstance(style.stretch, tuple):
        return style.stretch
    return percentile_ranges(scene, style.bands, style.stretch or Percentiles(), overviews)


def percentile_ranges(
    scene: SceneFile, bands: Sequence[int], wanted: Percentiles, overviews: Sequence[int]
) -> tuple[Range, ...]:
    """The range of each band between two percentiles over the whole scene.

    They are those of the smallest overview with a side of 512 px or more. A band of which both percentiles are the same
    has its smallest and largest value as range.

    overviews: The factors by which the overviews of the file are smaller, as rasterio gives them.
    """
    with scene.open() as source:
        longest = max(source.rows, source.cols)
    level = sum(longest / factor >= _LEAST_SAMPLE_PX for factor in overviews)
    with scene.open(level - 1 if level else None) as source:
        shape = min(source.rows, _SAMPLE_PX), min(source.cols, _SAMPLE_PX)
        raw, valid = source.read_raw(Window(0, 0, source.rows, source.cols), shape)
        image = source.physical(raw, valid)
    return tuple(_between(image[band][valid], wanted, scene.extremes[band]) for band in bands)


def _between(values: np.ndarray, wanted: Percentiles, extremes: Range) -> Range:
    low, high = np.percentile(values, [wanted.low, wanted.high]).tolist() if values.size else extremes
    return (low, high) if low < high else extremes


def _stretched(values: np.ndarray, ranges: Sequence[Range]) -> np.ndarray:
    """Colours of values in physical units, of shape (1 or 3, rows, cols): uint8 (rows, cols, 4)."""
    colours = np.full((*values.shape[1:], 4), 255, dtype=np.uint8)
    for band, (image, (low, high)) in enumerate(zip(values.astype(np.float64), ranges, strict=True)):
        with np.errstate(over="ignore"):
            # all of a band without any contrast is drawn in the middle
            share = (image - low) / (high - low) if low < high else np.full_like(image, 0.5)
        grey = np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8)
        colours[..., slice(3) if len(values) == 1 else slice(band, band + 1)] = grey[..., None]
    return colours


def _taken(source: RasterSource, cols: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values of the pixels at places of a scene, float32 (bands, ...), and which of these show something, bool.

    cols, rows: Places in pixels of the source; what lies outside it shows nothing.
    """
    inside = (cols >= 0) & (cols < source.cols) & (rows >= 0) & (rows < source.rows)  # False for NaN
    values = np.zeros((source.bands, *cols.shape), dtype=np.float32)
    if not inside.any():
        return values, inside
    at_row, at_col = rows[inside].astype(int), cols[inside].astype(int)
    window = _around(at_row, at_col)
    shape = tuple(min(size, _FINER * side) for size, side in zip((window.rows, window.cols), cols.shape, strict=True))
    raw, valid = source.read_raw(window, (shape[0], shape[1]))
    taken = (
        (at_row - window.row) * shape[0] // window.rows,
        (at_col - window.col) * shape[1] // window.cols,
    )
    values[:, inside] = source.physical(raw, valid)[:, *taken]
    inside[inside] = valid[taken]
    return values, inside


def _around(rows: np.ndarray, cols: np.ndarray) -> Window:
    """The window of all these pixels."""
    top, left = int(rows.min()), int(cols.min())
    return Window(top, left, int(rows.max()) - top + 1, int(cols.max()) - left + 1)


def _pixels_at(grid: Grid, place: Place) -> tuple[np.ndarray, np.ndarray, float]:
    """Where the centres of a picture's pixels lie in a scene, as columns and rows, float64 (rows, cols).

    They are NaN outside the box of the scene. The third value is how many pixels of the scene a pixel of the picture is
    wide.
    """
    box = world_box(grid.bbox())
    x = place.west + (np.arange(place.cols) + 0.5) * place.side
    y = place.north + (np.arange(place.rows) + 0.5) * place.side
    found = np.full((2, place.rows, place.cols), np.nan)
    if box is None:
        return found[0], found[1], 1.0
    across = np.flatnonzero((x - box.west) % 1 <= box.east - box.west)
    down = np.flatnonzero((y >= box.north) & (y <= box.south))
    if not (across.size and down.size):
        return found[0], found[1], 1.0
    # a projection may place other parts of the Earth inside the scene too, so these are left out
    inner = _transformed(grid, x[across], y[down])
    found[:, down[:, None], across] = inner
    return found[0], found[1], _step(inner)


def _step(pixels: np.ndarray) -> float:
    """The usual distance between neighbours along a row, of places (2, rows, cols); at least 1."""
    apart = np.hypot(*np.diff(pixels, axis=2))
    finite = apart[np.isfinite(apart)]
    return max(1.0, float(np.median(finite))) if finite.size else 1.0


def _transformed(grid: Grid, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Columns and rows of a scene for places in the square world, float64 (2, len(y), len(x))."""
    if min(x.size, y.size) < _FEW_PX:
        return _exactly(grid, x, y)
    across, down = _nodes(x.size), _nodes(y.size)
    nodes = _exactly(grid, *(np.interp(at, np.arange(each.size), each) for at, each in ((across, x), (down, y))))
    if not _is_smooth(nodes):
        return _exactly(grid, x, y)
    interpolated: np.ndarray = _weights(down, y.size) @ nodes @ _weights(across, x.size).T
    return interpolated


def _exactly(grid: Grid, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    lon, lat = (each.ravel() for each in np.meshgrid(*lonlat(x, y)))
    with np.errstate(invalid="ignore"):  # places that the CRS cannot have are infinite
        east, north = map(np.asarray, grid.operation.transformer.transform(lon, lat, direction="INVERSE"))
        left, _, right, _ = grid.bounds
        pixels = np.stack(grid.pixels(turned(grid.crs, east, (left + right) / 2), north))
    return np.where(np.isfinite(pixels), pixels, np.nan).reshape(2, y.size, x.size)


def _nodes(size: int) -> np.ndarray:
    """An odd number of places from the first to the last of `size` pixels, evenly spaced."""
    return np.linspace(0, size - 1, 2 * -(-size // (2 * _EVERY_PX)) + 1)


def _weights(nodes: np.ndarray, size: int) -> np.ndarray:
    """The weight of each node for each of `size` pixels, (size, nodes), by which one interpolates between two nodes."""
    away = np.abs(np.arange(size)[:, None] - nodes) / (nodes[1] - nodes[0])
    weights: np.ndarray = (1 - away).clip(min=0)
    return weights


def _is_smooth(nodes: np.ndarray) -> bool:
    """Whether places between the nodes (2, rows, cols) can be interpolated to an eighth of a pixel of the picture.

    Each second node must lie in the middle of its neighbours, to half a pixel: the error between nodes at half the
    distance is a quarter of this.
    """
    errors = [
        np.abs((each[:, :-2:2] + each[:, 2::2]) / 2 - each[:, 1::2]).max()
        for each in (nodes.reshape(-1, nodes.shape[2]), nodes.swapaxes(1, 2).reshape(-1, nodes.shape[1]))
    ]
    pixel = np.hypot(*np.diff(nodes, axis=2)).min() / _EVERY_PX
    return bool(max(errors) <= 0.5 * pixel)  # False for NaN
