"""Truth that can be painted on the grid of any scene: polygons with a class each, or a raster mask."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import pyproj
import shapely
from affine import Affine
from rasterio.features import rasterize

from ml.contract import UNLABELLED
from ml.faults import Fault, InputRefused, refuse_any
from ml.geo.crs import transformer
from ml.geo.grid import Grid, far_apart
from ml.geo.placement import checked_grid
from ml.geo.raster import open_raster, refusing_damage
from ml.geo.windows import Window
from ml.labels.classes import FeatureClasses, LabelOptions, classes_of, mask_table
from ml.labels.fields import Fields, fields_of
from ml.labels.read import kind_of, read_layer
from ml.labels.repair import repaired
from ml.scenes.source import RasterSource
from ml.scenes.tiff_safety import check_tiff

NO_FEATURE = -1
_NOT_VALID = 0  # the feature of a mask that stands for its pixels without a value
# how long a polygon's edge may be when it is reprojected: its middle is off by 1 % of a pixel of 50 m then
_EDGE_PX = 100
_FINEST = 8  # a mask's pixel may be so many times smaller than a scene's


class LayerRasteriser(Protocol):
    """A layer on the grid of one scene."""

    @property
    def background(self) -> int:
        """Class of what the layer leaves unpainted, or 255."""
        ...

    def paint(self, window: Window) -> np.ndarray:
        """Which feature of the layer each pixel shows, int32 (rows, cols); -1 where the layer says nothing."""
        ...


class LabelLayer(Protocol):
    """A layer of labels. name: what its owner calls it."""

    name: str

    @property
    def fields(self) -> Fields | None:
        """Which field each feature is of, if that can be known."""
        ...

    @property
    def legend(self) -> FeatureClasses:
        """What the features mean that have been painted so far."""
        ...

    def on(self, grid: Grid) -> LayerRasteriser | None:
        """The layer on a scene's grid; None if it does not touch it."""
        ...


def open_layer(path: Path, options: LabelOptions, name: str = "") -> "PolygonLayer | MaskLayer":
    """A layer of labels of any kind, found from its bytes.

    Raises:
        InputRefused: all that `read_layer`, `repaired` and `classes_of` raise; of a mask what a scene is refused for,
            and not_a_mask.
    """
    kind = MaskLayer if kind_of(path) == "raster" else PolygonLayer
    return kind(path, options, name or path.stem)


class PolygonLayer:
    """Valid polygons, in the order of the file: where they overlap, the later one counts.

    geometries: shapely, in `crs`. legend: of each. values: class of each, uint8.
    """

    def __init__(self, path: Path, options: LabelOptions, name: str) -> None:
        self.name = name
        layer = read_layer(path, crs=options.crs)
        if layer.crs is None:
            raise ValueError("read_layer gives a CRS")
        features, self.notes = repaired(layer.features)
        self.kind, self.crs, self.unplaced = layer.kind, layer.crs, layer.unplaced
        self.geometries = np.array([feature.geometry for feature in features])
        self.legend, self.fields = classes_of(features, options), fields_of(features, options.field_id)
        self.values = self.legend.values
        self._background = options.background

    @cached_property
    def tree(self) -> shapely.STRtree:
        return shapely.STRtree(self.geometries)

    def on(self, grid: Grid) -> "PolygonRasteriser | None":
        """The polygons in pixels of a scene's grid, or None."""
        outline = np.column_stack(transformer(grid.crs, self.crs).transform(*grid.outline().T))
        if not np.isfinite(outline).all():
            return None
        (left, bottom), (right, top) = outline.min(axis=0), outline.max(axis=0)
        spare = 0.05 * max(right - left, top - bottom)  # the outline is drawn through a few points only
        around = shapely.box(left - spare, bottom - spare, right + spare, top + spare)
        near = np.sort(self.tree.query(around, predicate="intersects"))
        geometries = shapely.intersection(self.geometries[near], around)
        if not grid.crs.equals(self.crs, ignore_axis_order=True):
            edge = _EDGE_PX * max(right - left, top - bottom) / max(grid.rows, grid.cols)
            geometries = shapely.segmentize(geometries, edge)
        back = transformer(self.crs, grid.crs)
        pixels = shapely.transform(geometries, lambda xy: np.column_stack(grid.pixels(*back.transform(*xy.T))))
        hits = shapely.intersects(pixels, shapely.box(0, 0, grid.cols, grid.rows))
        if not hits.any():
            return None
        return PolygonRasteriser(pixels[hits], near[hits], self._background)


class PolygonRasteriser:
    """Polygons in pixels of a scene, (col, row) from its corner. A pixel belongs to the polygon that has its middle.

    numbers: of the features that the geometries are.
    """

    def __init__(self, geometries: np.ndarray, numbers: np.ndarray, background: int) -> None:
        self._geometries, self._numbers, self.background = geometries, numbers, background
        self._tree = shapely.STRtree(geometries)

    def paint(self, window: Window) -> np.ndarray:
        box = shapely.box(window.col, window.row, window.col + window.cols, window.row + window.rows)
        inside = np.sort(self._tree.query(box))
        if len(inside) == 0:
            return np.full((window.rows, window.cols), NO_FEATURE, dtype=np.int32)
        shapes = zip(self._geometries[inside], self._numbers[inside].tolist(), strict=True)
        painted: np.ndarray = rasterize(
            shapes,
            out_shape=(window.rows, window.cols),
            fill=NO_FEATURE,
            transform=Affine.translation(window.col, window.row),
            dtype="int32",
        )
        return painted


class MaskLayer:
    """A raster whose pixels are class values; 255 and its nodata are unlabelled.

    Its features are its different values, numbered as they come to be seen; they are no fields.
    """

    kind = "raster"
    fields = None

    def __init__(self, path: Path, options: LabelOptions, name: str) -> None:
        check_tiff(path)
        with refusing_damage("The file cannot be read as a GeoTIFF."), open_raster(path) as dataset:
            self.grid = checked_grid(dataset)
            bands, dtype = dataset.count, np.dtype(dataset.dtypes[0])
        if bands != 1 or dtype.kind not in "iu":
            detail = f"The raster has {bands} bands of {dtype.name}."
            raise InputRefused(Fault("not_a_mask", detail, "Send one band of whole numbers, the class values."))
        self.path, self.options, self.name = path, options, name
        self._numbers = dict[int, int]()
        self._classes, self._names = [UNLABELLED], [""]  # of `_NOT_VALID`

    @property
    def crs(self) -> pyproj.CRS:
        return self.grid.crs

    @property
    def legend(self) -> FeatureClasses:
        return FeatureClasses(np.array(self._classes, dtype=np.uint8), tuple(self._names))

    def features(self, raw: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """The number of the value at each pixel of a window, int32 of the shape of `raw`.

        Raises:
            InputRefused: what `mask_table` raises.
        """
        values, classes = mask_table(raw, valid, self.options)
        each = zip(values.tolist(), classes.tolist(), strict=True)
        numbers = np.array([self._number(value, into) for value, into in each], dtype=np.int32)
        return np.where(valid, numbers[np.searchsorted(values, raw)], np.int32(_NOT_VALID))

    def _number(self, value: int, into: int) -> int:
        if value not in self._numbers:
            self._numbers[value] = len(self._names)
            self._classes.append(into)
            self._names.append(str(value))
        return self._numbers[value]

    def on(self, grid: Grid) -> "MaskRasteriser | None":
        """The mask on a scene's grid, or None.

        Raises:
            InputRefused: grid_mismatch, it claims the scene's grid but has another size, or its pixels are far finer.
        """
        if far_apart(self.grid.bbox(), grid.bbox()):
            return None
        refuse_any(_mismatch(self.grid, grid))
        return MaskRasteriser(self, grid)


@dataclass(frozen=True)
class MaskRasteriser:
    """A mask under a scene's grid: each pixel of the scene takes the value of the mask's pixel under its middle."""

    mask: MaskLayer
    grid: Grid
    background: int = UNLABELLED

    def paint(self, window: Window) -> np.ndarray:
        rows, cols, under = self._under(window)
        painted = np.full((window.rows, window.cols), NO_FEATURE, dtype=np.int32)
        if not under.any():
            return painted
        first_row, first_col = int(rows[under].min()), int(cols[under].min())
        size = int(rows[under].max()) - first_row + 1, int(cols[under].max()) - first_col + 1
        with RasterSource(self.mask.path) as source:
            raw, valid = source.read_raw(Window(first_row, first_col, *size))
        features = self.mask.features(raw[0], valid)
        painted[under] = features[rows[under] - first_row, cols[under] - first_col]
        return painted

    def _under(self, window: Window) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Row and column of the mask under the middle of each pixel, and whether there is one."""
        cols, rows = np.meshgrid(window.col + np.arange(window.cols) + 0.5, window.row + np.arange(window.rows) + 0.5)
        there = transformer(self.grid.crs, self.mask.crs)
        cols, rows = self.mask.grid.pixels(*there.transform(*self.grid.xy(cols, rows)))
        with np.errstate(invalid="ignore"):  # infinite where there is no Earth
            under = (cols >= 0) & (cols < self.mask.grid.cols) & (rows >= 0) & (rows < self.mask.grid.rows)
        return np.where(under, rows, 0).astype(int), np.where(under, cols, 0).astype(int), under


def _mismatch(mask: Grid, scene: Grid) -> list[Fault]:
    sizes = f"The mask has {mask.rows} x {mask.cols} px, the scene {scene.rows} x {scene.cols}"
    if not mask.crs.equals(scene.crs, ignore_axis_order=True):
        return []
    ratio = np.sqrt(abs(scene.transform.determinant / mask.transform.determinant))
    if ratio > _FINEST:
        detail = f"A pixel of the mask is {ratio:.0f} times smaller than one of the scene."
        return [Fault("grid_mismatch", detail, "Resample it to the scene's grid with the mode: gdalwarp -r mode ...")]
    corner = np.array(scene.pixels(np.array(mask.transform.c), np.array(mask.transform.f)))
    same_pixels = np.allclose(mask.transform[:2] + mask.transform[3:5], scene.transform[:2] + scene.transform[3:5])
    if same_pixels and (np.abs(corner) < 0.5).all() and (mask.rows, mask.cols) != (scene.rows, scene.cols):
        hint = "One of them was cut or shifted: find out which, and export them on one grid."
        return [Fault("grid_mismatch", f"{sizes}, from the same corner and with the same pixels.", hint)]
    return []
