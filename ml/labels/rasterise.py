"""Labels on the grid of a scene."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import rasterio

from ml.contract import UNLABELLED
from ml.faults import Note
from ml.geo.grid import Grid, grid_of
from ml.geo.raster import open_raster
from ml.geo.whole_file import verified_whole
from ml.geo.windows import Window, blocks, ceil_to
from ml.labels.classes import LabelOptions
from ml.labels.layers import NO_FEATURE, LabelLayer, open_layer

BLOCK_PX = 1024
_PROFILE = {"driver": "GTiff", "dtype": "uint8", "nodata": UNLABELLED, "compress": "deflate", "interleave": "band"}
_TILES = {"tiled": True, "blockxsize": 256, "blockysize": 256, "BIGTIFF": "IF_SAFER"}


@dataclass(frozen=True)
class RasteriseReport:
    """counts: pixels by class value, 255 unlabelled. overlaps: where layers contradict. labelled: any label at all."""

    counts: dict[int, int]
    overlaps: tuple[Note, ...]
    labelled: bool


@dataclass(frozen=True)
class RasterisedLabels:
    """The labels of a window, arrays of (rows, cols).

    classes: uint8, 255 unlabelled. layer, int16: which layer says so; feature, int32: which of its features; both -1
    where none says anything. replaced: of each layer the labels of others that it gave another class, int64 (layers,).
    """

    classes: np.ndarray
    layer: np.ndarray
    feature: np.ndarray
    replaced: np.ndarray

    def look_up(self, tables: Sequence[np.ndarray], nothing: int) -> np.ndarray:
        """What stands in `tables` for each pixel's feature, one table a layer, of one dtype; else `nothing`."""
        found = np.full(self.layer.shape, nothing, dtype=tables[0].dtype)
        for number in np.unique(self.layer[self.layer != NO_FEATURE]):
            here = self.layer == number
            found[here] = tables[number][self.feature[here]]
        return found


class LabelRaster:
    """Layers of truth on the grid of one scene. Where they overlap, the later one counts.

    What no layer labels is class 0 if a layer of polygons with background 0 touches the scene.

    Raises:
        InputRefused: grid_mismatch of a raster; `paint` raises unknown_class and not_a_mask.
    """

    def __init__(self, truths: Sequence[LabelLayer], grid: Grid) -> None:
        self.grid, self._names = grid, [truth.name for truth in truths]
        on_scene = [(number, truth, truth.on(grid)) for number, truth in enumerate(truths)]
        self._layers = [(number, truth, painter) for number, truth, painter in on_scene if painter]
        self._background = min((painter.background for _, _, painter in self._layers), default=UNLABELLED)

    def paint(self, window: Window) -> RasterisedLabels:
        """The labels of a window."""
        shape = window.rows, window.cols
        classes, said = np.full(shape, UNLABELLED, dtype=np.uint8), np.zeros(shape, dtype=bool)
        layer, feature = np.full(shape, NO_FEATURE, dtype=np.int16), np.full(shape, NO_FEATURE, dtype=np.int32)
        replaced = np.zeros(len(self._names), dtype=np.int64)
        for number, truth, painter in self._layers:
            found = painter.paint(window)
            here = found != NO_FEATURE
            values, before = truth.legend.values[found[here]], classes[here]
            replaced[number] = ((before != UNLABELLED) & (values != UNLABELLED) & (values != before)).sum()
            classes[here], layer[here], feature[here] = values, number, found[here]
            said |= here
        classes[~said] = self._background
        return RasterisedLabels(classes, layer, feature, replaced)

    def report(self, counts: np.ndarray, replaced: np.ndarray) -> RasteriseReport:
        """counts: pixels by class value, int64 (256,). replaced: as in `RasterisedLabels`, of the whole scene."""
        pixels = self.grid.rows * self.grid.cols
        overlaps = tuple(
            Note(
                code="overlapping_layers",
                detail=f"{name!r} gives {n} pixels ({n / pixels:.2%}) another class than before.",
                hint="The later layer counts: put the better one last.",
            )
            for name, n in zip(self._names, replaced.tolist(), strict=True)
            if n
        )
        by_value = {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
        return RasteriseReport(by_value, overlaps, labelled=bool(counts[:UNLABELLED].any()))


def rasterise(labels: Sequence[tuple[Path, LabelOptions]], like: Path, out: Path) -> RasteriseReport:
    """Put layers of labels on the grid of the scene `like`, into a mask: uint8 GeoTIFF, 255 where nothing is labelled.

    Where layers overlap, the later one counts, and the report says so. What no layer labels is class 0 if a layer of
    polygons with background 0 touches the scene.

    Raises:
        InputRefused: what `open_layer` raises; unknown_class, not_a_mask, grid_mismatch of a raster.
    """
    return rasterise_layers([open_layer(path, options) for path, options in labels], like, out)


def rasterise_layers(truths: Sequence[LabelLayer], like: Path, out: Path) -> RasteriseReport:
    """`rasterise` for layers that are open already: for many scenes, open them once."""
    with open_raster(like) as scene:
        canvas = LabelRaster(truths, grid_of(scene))
    counts, replaced = np.zeros(256, dtype=np.int64), np.zeros(len(truths), dtype=np.int64)
    with MaskFile(out, canvas.grid) as file:
        for window in blocks(canvas.grid.rows, canvas.grid.cols, block_px=BLOCK_PX):
            painted = canvas.paint(window)
            file.write(painted.classes[None], window)
            counts += np.bincount(painted.classes.ravel(), minlength=256)
            replaced += painted.replaced
    return canvas.report(counts, replaced)


class MaskFile:
    """A mask that is being written: a uint8 GeoTIFF on the grid of a scene; what is not written is 255."""

    def __init__(self, path: Path, grid: Grid, bands: int = 1) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        place = {"height": grid.rows, "width": grid.cols, "crs": grid.crs.to_wkt(), "transform": grid.transform}
        self._stack = ExitStack()
        most_bytes = 2 * bands * ceil_to(grid.rows, BLOCK_PX) * ceil_to(grid.cols, BLOCK_PX)
        self._stack.enter_context(verified_whole(path, most_bytes))
        file = rasterio.open(path, "w", count=bands, **_PROFILE, **_TILES, **place)
        self._file = self._stack.enter_context(file)

    def __enter__(self) -> "MaskFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def write(self, values: np.ndarray, window: Window) -> None:
        """Put uint8 (bands, rows, cols) into a window."""
        self._file.write(values, window=window.rasterio)
