"""Rasterises label layers on the grid of a scene."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import rasterio

from ml.contract import UNLABELLED
from ml.faults import Note
from ml.geo.datum_shifts import datum_notes
from ml.geo.grid import Grid, grid_of
from ml.geo.raster import open_raster
from ml.geo.whole_file import verified_whole
from ml.geo.windows import Window, blocks, ceil_to
from ml.labels.classes import LabelOptions
from ml.labels.features import NO_FEATURE
from ml.labels.layers import LabelLayer, LayerRasteriser, open_layer

BLOCK_PX = 1024
_PROFILE = {"driver": "GTiff", "dtype": "uint8", "nodata": UNLABELLED, "compress": "deflate", "interleave": "band"}
_TILES = {"tiled": True, "blockxsize": 256, "blockysize": 256, "BIGTIFF": "IF_SAFER", "SPARSE_OK": True}


@dataclass(frozen=True)
class RasteriseReport:
    """Summary of the labels of one scene.

    counts: Number of pixels by class value; 255 is unlabelled.
    overlaps: Notes about layers that contradict earlier layers.
    labelled: Whether the scene has at least one labelled pixel.
    """

    counts: dict[int, int]
    overlaps: tuple[Note, ...]
    labelled: bool


@dataclass(frozen=True)
class RasterisedLabels:
    """Labels in a window of a scene. Arrays have the shape (rows, cols) unless stated otherwise.

    classes: Class values, uint8; 255 is unlabelled.
    layer: Number of the last layer that covers each pixel, int16; -1 where no layer covers the pixel.
    feature: Number of that layer's feature, int32; -1 where no layer covers the pixel.
    replaced: Number of labelled pixels to which each layer gave another class, shape (layers,), int64.
    """

    classes: np.ndarray
    layer: np.ndarray
    feature: np.ndarray
    replaced: np.ndarray

    def look_up(self, tables: Sequence[np.ndarray], nothing: int) -> np.ndarray:
        """Return the value that `tables` hold for the feature at each pixel, shape (rows, cols).

        tables: One array per layer, shape (features,), all of one dtype.
        nothing: Value of the pixels that no layer covers.
        """
        found = np.full(self.layer.shape, nothing, dtype=tables[0].dtype)
        for number in np.unique(self.layer[self.layer != NO_FEATURE]):
            here = self.layer == number
            found[here] = tables[number][self.feature[here]]
        return found


class LabelRaster:
    """Label layers on the grid of one scene. Where layers overlap, the later one counts.

    Pixels that no layer covers are class 0 if a layer of polygons with background 0 touches the scene, and otherwise
    unlabelled.

    Raises:
        InputRefused: grid_mismatch if a mask does not fit the grid.
    """

    def __init__(self, layers: Sequence[LabelLayer], grid: Grid) -> None:
        self.grid, self._names = grid, [layer.name for layer in layers]
        on_scene = [(number, layer, layer.on(grid)) for number, layer in enumerate(layers)]
        self._layers = [(number, layer, rasteriser) for number, layer, rasteriser in on_scene if rasteriser]
        self._background = min((rasteriser.background for _, _, rasteriser in self._layers), default=UNLABELLED)

    @property
    def rasterisers(self) -> Iterator[tuple[int, LayerRasteriser]]:
        """Number of each layer that touches the scene, and its rasteriser."""
        yield from ((number, rasteriser) for number, _, rasteriser in self._layers)

    def datum_notes(self) -> Iterator[Note]:
        """Yield a note for each layer that a change of datum may have put wrong on the scene."""
        for _, layer, rasteriser in self._layers:
            what = f"The labels {layer.name!r} are in {layer.crs.name}, and scenes in {self.grid.crs.name}"
            yield from datum_notes(rasteriser.operation, layer.box, what)

    def rasterise(self, window: Window) -> RasterisedLabels:
        """Return the labels in a window of the scene.

        Raises:
            InputRefused: unknown_class or not_a_mask, for the pixels of a mask; corrupt_tiff if a mask is damaged.
        """
        shape = window.rows, window.cols
        classes, covered = np.full(shape, UNLABELLED, dtype=np.uint8), np.zeros(shape, dtype=bool)
        layer, feature = np.full(shape, NO_FEATURE, dtype=np.int16), np.full(shape, NO_FEATURE, dtype=np.int32)
        replaced = np.zeros(len(self._names), dtype=np.int64)
        for number, source, rasteriser in self._layers:
            found = rasteriser.rasterise(window)
            here = found != NO_FEATURE
            values, before = source.legend.values[found[here]], classes[here]
            replaced[number] = ((before != UNLABELLED) & (values != UNLABELLED) & (values != before)).sum()
            classes[here], layer[here], feature[here] = values, number, found[here]
            covered |= here
        classes[~covered] = self._background
        return RasterisedLabels(classes, layer, feature, replaced)

    def report(self, counts: np.ndarray, replaced: np.ndarray) -> RasteriseReport:
        """Summarise the labels of the whole scene.

        counts: Number of pixels by class value, shape (256,), int64.
        replaced: Sum of `RasterisedLabels.replaced` over all windows, shape (layers,), int64.
        """
        pixels = self.grid.rows * self.grid.cols
        overlaps = tuple(
            Note(
                code="overlapping_layers",
                detail=f"{name!r} gives {n} pixels ({n / pixels:.2%}) another class than earlier layers.",
                hint="Where layers overlap, the later one counts. Put the better layer last.",
            )
            for name, n in zip(self._names, replaced.tolist(), strict=True)
            if n
        )
        by_value = {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
        return RasteriseReport(by_value, overlaps, labelled=bool(counts[:UNLABELLED].any()))


def rasterise(labels: Sequence[tuple[Path, LabelOptions]], like: Path, out: Path) -> RasteriseReport:
    """Rasterise label layers on the grid of a scene and write a mask: a uint8 GeoTIFF with 255 for unlabelled.

    Where layers overlap, the later one counts, and the report has a note if their classes differ. Pixels that no
    layer covers are class 0 if a layer of polygons with background 0 touches the scene, and otherwise 255.

    labels: Path and options of each layer, from the first to the last.
    like: Path of the scene whose grid the mask gets.
    out: Path of the mask to write.

    Raises:
        InputRefused: The faults that `open_layer` raises; for a mask also unknown_class, not_a_mask, grid_mismatch.
        OSError: ENOSPC if the disk is full.
    """
    return rasterise_layers([open_layer(path, options) for path, options in labels], like, out)


def rasterise_layers(layers: Sequence[LabelLayer], like: Path, out: Path) -> RasteriseReport:
    """Do the same as `rasterise` with open layers, so that layers of many scenes are opened only once."""
    with open_raster(like) as scene:
        raster = LabelRaster(layers, grid_of(scene))
    counts, replaced = np.zeros(256, dtype=np.int64), np.zeros(len(layers), dtype=np.int64)
    with MaskFile(out, raster.grid) as file:
        for window in blocks(raster.grid.rows, raster.grid.cols, block_px=BLOCK_PX):
            labels = raster.rasterise(window)
            file.write(labels.classes[None], window)
            counts += np.bincount(labels.classes.ravel(), minlength=256)
            replaced += labels.replaced
    return raster.report(counts, replaced)


class MaskFile:
    """Writer of a mask, a uint8 GeoTIFF on the grid of a scene. Pixels that are never written are 255.

    Use it as a context manager. On exit, it reads the file back to check that it is complete.

    Raises:
        OSError: ENOSPC on exit if the disk is full.
    """

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
        """Write values, shape (bands, rows, cols), uint8, to a window."""
        self._file.write(values, window=window.rasterio)
