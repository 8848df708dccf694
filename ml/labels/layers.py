"""Label layers that can be rasterised on the grid of any scene: polygons with a class each, or a mask."""

from dataclasses import dataclass, replace
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
from ml.labels.attributes import absent_attributes
from ml.labels.classes import FeatureClasses, LabelOptions, classes_of, mask_table
from ml.labels.fields import Fields, fields_of
from ml.labels.read import kind_of, read_layer
from ml.labels.repair import repaired
from ml.labels.several_layers import refuse_layer
from ml.scenes.source import RasterSource
from ml.scenes.tiff_agreement import check_raster

NO_FEATURE = -1
_NOT_VALID = 0  # number of the feature that stands for the pixels of a mask without a value
# longest edge, in pixels, when a polygon is reprojected: the middle of an edge is wrong by 1 % of a pixel of 50 m then
_EDGE_PX = 100
_WHOLE_NUMBERS = "Write them as whole numbers of at most 32 bits: gdal_translate -ot Int32 old.tif new.tif"
_FINEST = 8  # largest ratio of the scene's pixel side to the mask's pixel side


class LayerRasteriser(Protocol):
    """Rasterises one label layer on the grid of one scene."""

    @property
    def background(self) -> int:
        """Class value of the pixels that no feature of the layer covers: 0, or 255 for unlabelled."""
        ...

    def rasterise(self, window: Window) -> np.ndarray:
        """Return the number of the layer's feature at each pixel, shape (rows, cols), int32; -1 where there is none."""
        ...


class LabelLayer(Protocol):
    """A layer of labels.

    name: Name of the layer in messages.
    """

    name: str

    @property
    def fields(self) -> Fields | None:
        """Fields of the features; None for a mask, whose fields cannot be known."""
        ...

    @property
    def legend(self) -> FeatureClasses:
        """Classes of the features. A mask knows only the features that have been rasterised so far."""
        ...

    def on(self, grid: Grid) -> LayerRasteriser | None:
        """Return a rasteriser of the layer for the grid of a scene; None if the layer does not touch the grid."""
        ...


def open_layer(path: Path, options: LabelOptions, name: str = "") -> "PolygonLayer | MaskLayer":
    """Open a label layer of any kind; the first bytes of the file show which kind it is.

    name: Name of the layer in messages; by default the name of the file without its suffix.

    Raises:
        InputRefused: For polygons, the faults of `read_layer`, `repaired`, `absent_attributes`, `classes_of` and
            `fields_of`. For a mask, the faults of `check_raster` and `checked_grid`, corrupt_tiff, not_a_mask, and
            unknown_layer.
    """
    kind = MaskLayer if kind_of(path) == "raster" else PolygonLayer
    return kind(path, options, name or path.stem)


def _check_mask(path: Path) -> None:
    """Raise the faults of `check_raster`; the hint on a type of pixels is that for class values."""
    try:
        check_raster(path)
    except InputRefused as refused:
        raise InputRefused(
            *(replace(it, hint=_WHOLE_NUMBERS) if it.code == "unsupported_dtype" else it for it in refused.faults)
        ) from None


class PolygonLayer:
    """Valid polygons, in the order of the file. Where polygons overlap, the later one counts.

    geometries: shapely polygons in `crs`, shape (features,), object.
    legend: Classes of the polygons, and the texts that stand for them.
    values: Class value of each polygon, shape (features,), uint8.
    fields: Fields that the polygons belong to.
    notes: Notes about geometries that were repaired.
    file: What was read from the file, before repairs.
    """

    def __init__(self, path: Path, options: LabelOptions, name: str) -> None:
        self.name = name
        layer = read_layer(path, crs=options.crs, layer=options.layer)
        if layer.crs is None:
            raise ValueError("read_layer returned a layer without a CRS")
        features, self.notes = repaired(layer.features)
        self.kind, self.crs, self.file = layer.kind, layer.crs, layer
        self.geometries = np.array([feature.geometry for feature in features])
        refuse_any(absent_attributes(features, options.class_field, options.field_id))
        self.legend, self.fields = classes_of(features, options), fields_of(features, options.field_id)
        self.values = self.legend.values
        self._background = options.background

    @cached_property
    def tree(self) -> shapely.STRtree:
        """Spatial index of `geometries`."""
        return shapely.STRtree(self.geometries)

    def on(self, grid: Grid) -> "PolygonRasteriser | None":
        """Return a rasteriser of the polygons near the grid of a scene; None if no polygon touches the grid."""
        outline = np.column_stack(transformer(grid.crs, self.crs).transform(*grid.outline().T))
        if not np.isfinite(outline).all():
            return None
        (left, bottom), (right, top) = outline.min(axis=0), outline.max(axis=0)
        slack = 0.05 * max(right - left, top - bottom)  # because the outline has only a few points
        around = shapely.box(left - slack, bottom - slack, right + slack, top + slack)
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
    """Rasterises polygons on the grid of a scene. A pixel belongs to the polygon that contains its centre.

    geometries: Polygons in pixel coordinates, (col, row) from the corner of the grid, shape (polygons,).
    numbers: Number of the layer's feature for each polygon, shape (polygons,).
    background: Class value of the pixels that no polygon covers.
    """

    def __init__(self, geometries: np.ndarray, numbers: np.ndarray, background: int) -> None:
        self._geometries, self._numbers, self.background = geometries, numbers, background
        self._tree = shapely.STRtree(geometries)

    def rasterise(self, window: Window) -> np.ndarray:
        box = shapely.box(window.col, window.row, window.col + window.cols, window.row + window.rows)
        inside = np.sort(self._tree.query(box))
        if len(inside) == 0:
            return np.full((window.rows, window.cols), NO_FEATURE, dtype=np.int32)
        shapes = zip(self._geometries[inside], self._numbers[inside].tolist(), strict=True)
        features: np.ndarray = rasterize(
            shapes,
            out_shape=(window.rows, window.cols),
            fill=NO_FEATURE,
            transform=Affine.translation(window.col, window.row),
            dtype="int32",
        )
        return features


class MaskLayer:
    """A raster with class values. Pixels that are nodata, or 255 without `LabelOptions.classes`, are unlabelled.

    Each distinct value is a feature; features are numbered in the order in which they are first read. Features of
    a mask are not fields.
    """

    kind = "raster"
    fields = None

    def __init__(self, path: Path, options: LabelOptions, name: str) -> None:
        refuse_layer(options.layer, "A GeoTIFF")
        _check_mask(path)
        with refusing_damage("The file cannot be read as a GeoTIFF."), open_raster(path) as dataset:
            self.grid = checked_grid(dataset)
            bands, dtype = dataset.count, np.dtype(dataset.dtypes[0])
        if bands != 1 or dtype.kind not in "iu":
            detail = f"The raster has {bands} bands of {dtype.name}."
            hint = "Send one band of whole numbers, the class values: gdal_translate -b 1 -ot Int32 old.tif new.tif"
            raise InputRefused(Fault("not_a_mask", detail, hint))
        self.path, self.options, self.name = path, options, name
        self._numbers = dict[int, int]()
        self._classes, self._names = [UNLABELLED], [""]  # of the feature `_NOT_VALID`

    @property
    def crs(self) -> pyproj.CRS:
        """CRS of the mask."""
        return self.grid.crs

    @property
    def legend(self) -> FeatureClasses:
        """Classes of the features that have been read so far."""
        return FeatureClasses(np.array(self._classes, dtype=np.uint8), tuple(self._names))

    def features(self, raw: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Return the number of the feature at each pixel of a window, int32, in the shape of `raw`.

        raw: Pixels of the mask as they are in the file, shape (rows, cols).
        valid: True where the mask has a value, shape (rows, cols), bool.

        Raises:
            InputRefused: The faults that `mask_table` raises.
        """
        values, classes = mask_table(raw, valid, self.options)
        each = zip(values.tolist(), classes.tolist(), strict=True)
        numbers = np.array([self._number(value, class_value) for value, class_value in each], dtype=np.int32)
        return np.where(valid, numbers[np.searchsorted(values, raw)], np.int32(_NOT_VALID))

    def _number(self, value: int, class_value: int) -> int:
        if value not in self._numbers:
            self._numbers[value] = len(self._names)
            self._classes.append(class_value)
            self._names.append(str(value))
        return self._numbers[value]

    def on(self, grid: Grid) -> "MaskRasteriser | None":
        """Return a rasteriser of the mask for the grid of a scene; None if their bounding boxes share no point.

        Raises:
            InputRefused: grid_mismatch if both grids have the same corner and the same pixels but different sizes,
                or if the side of a mask pixel is over 8 times smaller than that of a scene pixel.
        """
        if far_apart(self.grid.bbox(), grid.bbox()):
            return None
        refuse_any(_mismatch(self.grid, grid))
        return MaskRasteriser(self, grid)


@dataclass(frozen=True)
class MaskRasteriser:
    """Resamples a mask to the grid of a scene: each pixel takes the value of the mask pixel under its centre.

    mask: Mask to resample.
    grid: Grid of the scene.
    background: Class value of the pixels outside the mask, which are unlabelled.
    """

    mask: MaskLayer
    grid: Grid
    background: int = UNLABELLED

    def rasterise(self, window: Window) -> np.ndarray:
        rows, cols, under = self._under(window)
        features = np.full((window.rows, window.cols), NO_FEATURE, dtype=np.int32)
        if not under.any():
            return features
        first_row, first_col = int(rows[under].min()), int(cols[under].min())
        size = int(rows[under].max()) - first_row + 1, int(cols[under].max()) - first_col + 1
        with RasterSource(self.mask.path) as source:
            raw, valid = source.read_raw(Window(first_row, first_col, *size))
        read = self.mask.features(raw[0], valid)
        features[under] = read[rows[under] - first_row, cols[under] - first_col]
        return features

    def _under(self, window: Window) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the mask's row and column under the centre of each pixel, and whether the mask has a pixel there."""
        cols, rows = np.meshgrid(window.col + np.arange(window.cols) + 0.5, window.row + np.arange(window.rows) + 0.5)
        there = transformer(self.grid.crs, self.mask.crs)
        cols, rows = self.mask.grid.pixels(*there.transform(*self.grid.xy(cols, rows)))
        with np.errstate(invalid="ignore"):  # coordinates are infinite where the CRS cannot place them
            under = (cols >= 0) & (cols < self.mask.grid.cols) & (rows >= 0) & (rows < self.mask.grid.rows)
        return np.where(under, rows, 0).astype(int), np.where(under, cols, 0).astype(int), under


def _mismatch(mask: Grid, scene: Grid) -> list[Fault]:
    sizes = f"The mask has {mask.rows} x {mask.cols} px, the scene {scene.rows} x {scene.cols}"
    if not mask.crs.equals(scene.crs, ignore_axis_order=True):
        return []
    ratio = np.sqrt(abs(scene.transform.determinant / mask.transform.determinant))
    if ratio > _FINEST:
        detail = f"The side of a mask pixel is {ratio:.0f} times smaller than that of a scene pixel."
        return [
            Fault("grid_mismatch", detail, "Resample the mask to the scene's grid by the mode: gdalwarp -r mode ...")
        ]
    corner = np.array(scene.pixels(np.array(mask.transform.c), np.array(mask.transform.f)))
    same_pixels = np.allclose(mask.transform[:2] + mask.transform[3:5], scene.transform[:2] + scene.transform[3:5])
    if same_pixels and (np.abs(corner) < 0.5).all() and (mask.rows, mask.cols) != (scene.rows, scene.cols):
        hint = "One of them was cropped or shifted. Export both on the same grid."
        return [
            Fault("grid_mismatch", f"{sizes}, but both start at the same corner and have the same pixel size.", hint)
        ]
    return []
