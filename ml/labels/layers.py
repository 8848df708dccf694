"""Label layers that can be rasterised on the grid of any scene: polygons with a class each, or a mask."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import pyproj
import shapely
from affine import Affine
from rasterio.features import rasterize
from rasterio.io import DatasetReader

from ml.contract import UNLABELLED
from ml.faults import Fault, InputRefused, Note, refuse_any
from ml.geo.areas import straight_px
from ml.geo.crs import full_turn, turned
from ml.geo.grid import Box, Grid, far_apart
from ml.geo.operations import Operation, operation
from ml.geo.placement import checked_grid
from ml.geo.raster import open_raster, pixel_types, refusing_damage
from ml.geo.windows import Window
from ml.labels.attributes import absent_attributes
from ml.labels.classes import FeatureClasses, LabelOptions, classes_of, mask_table
from ml.labels.fields import Fields, fields_of
from ml.labels.polygons import Polygons, surroundings
from ml.labels.read import kind_of
from ml.labels.several_layers import refuse_layer
from ml.scenes.geo_keys import check_keys
from ml.scenes.source import RasterSource
from ml.scenes.tiff_agreement import check_raster
from ml.scenes.tiff_safety import TiffLayout

NO_FEATURE = -1
_NOT_VALID = 0  # number of the feature that stands for the pixels of a mask without a value
_WHOLE_NUMBERS = "Write them as whole numbers of at most 32 bits: gdal_translate -ot Int32 old.tif new.tif"
_DOUBTS_ABOUT_TEXT = ("guessed_encoding", "undecodable_text")
_CROPPED = 0.1  # share of a scene's sides by which a mask of it may differ if one was cropped; a mosaic differs more
_FINEST = 8  # largest ratio of the scene's pixel side to the mask's pixel side


class LayerRasteriser(Protocol):
    """Rasterises one label layer on the grid of one scene."""

    @property
    def touching(self) -> np.ndarray:
        """Numbers of the polygons that touch the grid, shape (n,); empty for a mask."""
        ...

    @property
    def drawn(self) -> np.ndarray:
        """Numbers of the polygons that have a pixel in the windows so far, shape (n,); empty for a mask."""
        ...

    @property
    def background(self) -> int:
        """Class value of the pixels that no feature of the layer covers: 0, or 255 for unlabelled."""
        ...

    @property
    def operation(self) -> Operation:
        """How places get from the CRS of the layer to that of the scene, or back."""
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
    def crs(self) -> pyproj.CRS:
        """CRS of the layer."""
        ...

    @property
    def box(self) -> Box:
        """Bounding box of the layer, in degrees of WGS 84."""
        ...

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
            `fields_of`. For a mask, the faults of `check_raster`, `checked_grid` and `check_keys`, corrupt_tiff,
            not_a_mask, bad_scale, and unknown_layer.
    """
    kind = MaskLayer if kind_of(path) == "raster" else PolygonLayer
    return kind(path, options, name or path.stem)


def _check_mask(path: Path) -> TiffLayout:
    """Raise the faults of `check_raster`; the hint on a type of pixels is that for class values."""
    try:
        return check_raster(path)
    except InputRefused as refused:
        raise InputRefused(
            *(replace(it, hint=_WHOLE_NUMBERS) if it.code == "unsupported_dtype" else it for it in refused.faults)
        ) from None


def _scale_faults(dataset: DatasetReader) -> Iterator[Fault]:
    """Yield bad_scale if a mask declares a scale or an offset: are its classes the numbers in the file, or others?"""
    scale, offset = dataset.scales[0], dataset.offsets[0]
    if (scale, offset) != (1, 0):
        detail = f"The mask declares the scale {scale:g} and the offset {offset:g}, but class values are not measured."
        hint = (
            "If the numbers in the file are the classes: gdal_edit.py -scale 1 -offset 0 mask.tif. If the scaled "
            "ones are: gdal_translate -unscale -ot Int32 old.tif new.tif"
        )
        yield Fault("bad_scale", detail, hint)


@contextmanager
def _doubts_about_text_are_told(notes: Iterable[Note]) -> Iterator[None]:
    """Add the notes that doubt the encoding to a refusal of the classes, which may have no other cause."""
    try:
        yield
    except InputRefused as refused:
        doubts = [Fault(note.code, note.detail, note.hint) for note in notes if note.code in _DOUBTS_ABOUT_TEXT]
        raise InputRefused(*doubts, *refused.faults, more=refused.more) from None


class PolygonLayer(Polygons):
    """Polygons with a class each. Where polygons overlap, the later one counts.

    legend: Classes of the polygons, and the texts that stand for them.
    values: Class value of each polygon, shape (features,), uint8.
    fields: Fields that the polygons belong to.
    """

    def __init__(self, path: Path, options: LabelOptions, name: str) -> None:
        super().__init__(path, crs=options.crs, layer=options.layer)
        self.name = name
        named = (
            ("missing_class", "class_field", options.class_field),
            ("missing_field_id", "field_id", options.field_id),
        )
        refuse_any(absent_attributes(self.features, named))
        with _doubts_about_text_are_told(self.file.notes):
            self.legend = classes_of(self.features, options)
        self.fields = fields_of(self.features, options.field_id)
        self.values = self.legend.values
        self._background = options.background

    def on(self, grid: Grid) -> "PolygonRasteriser | None":
        """Return a rasteriser of the polygons near the grid of a scene; None if no polygon touches the grid."""
        around = surroundings(grid, self.crs, self.box)
        numbers, geometries = self.near(around)
        if not grid.crs.equals(self.crs, ignore_axis_order=True):
            left, bottom, right, top = around
            edge = straight_px(grid) * max(right - left, top - bottom) / max(grid.rows, grid.cols)
            degree = (full_turn(self.crs) or np.inf) / 360
            geometries = shapely.segmentize(geometries, min(edge, degree))
        back = operation(self.crs, grid.crs, self.box)
        middle = float(np.mean(grid.bounds[::2]))

        def to_pixels(xy: np.ndarray) -> np.ndarray:
            x, y = back.transformer.transform(*xy.T)
            return np.column_stack(grid.pixels(turned(grid.crs, x, middle), y))

        pixels = shapely.transform(geometries, to_pixels)
        hits = shapely.intersects(pixels, shapely.box(0, 0, grid.cols, grid.rows))
        if not hits.any():
            return None
        return PolygonRasteriser(pixels[hits], numbers[hits], self._background, back)


class PolygonRasteriser:
    """Rasterises polygons on the grid of a scene. A pixel belongs to the polygon that contains its centre.

    geometries: Polygons in pixel coordinates, (col, row) from the corner of the grid, shape (polygons,).
    touching: Number of the layer's feature for each polygon, shape (polygons,).
    background: Class value of the pixels that no polygon covers.
    operation: How the polygons got from the CRS of their layer to that of the grid.
    """

    def __init__(self, geometries: np.ndarray, numbers: np.ndarray, background: int, operation: Operation) -> None:
        self._geometries, self.touching, self.background, self.operation = geometries, numbers, background, operation
        self._drawn = np.zeros(int(numbers.max()) + 1, dtype=bool)
        self._tree = shapely.STRtree(geometries)

    def rasterise(self, window: Window) -> np.ndarray:
        box = shapely.box(window.col, window.row, window.col + window.cols, window.row + window.rows)
        inside = np.sort(self._tree.query(box))
        if len(inside) == 0:
            return np.full((window.rows, window.cols), NO_FEATURE, dtype=np.int32)
        shapes = zip(self._geometries[inside], self.touching[inside].tolist(), strict=True)
        features: np.ndarray = rasterize(
            shapes,
            out_shape=(window.rows, window.cols),
            fill=NO_FEATURE,
            transform=Affine.translation(window.col, window.row),
            dtype="int32",
        )
        self._drawn[features[features != NO_FEATURE]] = True
        return features

    @property
    def drawn(self) -> np.ndarray:
        """Numbers of the features that have a pixel in the windows so far, shape (n,)."""
        return np.flatnonzero(self._drawn)


class MaskLayer:
    """A raster with class values. Pixels that are nodata, or 255 without `LabelOptions.classes`, are unlabelled.

    Each distinct value is a feature; features are numbered in the order in which they are first read. Features of
    a mask are not fields.

    notes: Notes about what the file says of its CRS and of its colours.
    """

    kind = "raster"
    fields = None

    def __init__(self, path: Path, options: LabelOptions, name: str) -> None:
        refuse_layer(options.layer, "A GeoTIFF")
        layout = _check_mask(path)
        with refusing_damage("The file cannot be read as a GeoTIFF."), open_raster(path) as dataset:
            self.grid = checked_grid(dataset)
            self.notes = (*layout.notes, *check_keys(path, self.grid.crs))
            refuse_any(_scale_faults(dataset))
            bands, dtype = dataset.count, np.dtype(pixel_types(dataset)[0])
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
    def box(self) -> Box:
        """Bounding box of the mask, in degrees of WGS 84."""
        return self.grid.bbox()

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right and top of the mask, in units of the CRS."""
        return self.grid.bounds

    @property
    def to_wgs84(self) -> Operation:
        """How the pixels get to WGS 84."""
        return self.grid.operation

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
            InputRefused: grid_mismatch if both grids have the same corner and the same pixels but sizes that nearly
                agree, or if the side of a mask pixel is over 8 times smaller than that of a scene pixel.
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

    @property
    def touching(self) -> np.ndarray:
        """A mask has no polygons."""
        return np.zeros(0, dtype=int)

    @property
    def drawn(self) -> np.ndarray:
        """A mask has no polygons."""
        return np.zeros(0, dtype=int)

    @cached_property
    def operation(self) -> Operation:
        """How places get from the CRS of the scene to that of the mask."""
        return operation(self.grid.crs, self.mask.crs, self.mask.grid.bbox())

    def rasterise(self, window: Window) -> np.ndarray:
        rows, cols, under = self._under(window)
        features = np.full((window.rows, window.cols), NO_FEATURE, dtype=np.int32)
        beyond = cols >= self.mask.grid.cols / 2
        for half in (
            under & beyond,
            under & ~beyond,
        ):  # a window may need both ends of a mask that goes round the Earth
            if half.any():
                features[half] = self._read(rows[half], cols[half])
        return features

    def _read(self, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """Return the features of some pixels of the mask, int32, in the shape of `rows`."""
        row, col = int(rows.min()), int(cols.min())
        with RasterSource(self.mask.path) as source:
            raw, valid = source.read_raw(Window(row, col, int(rows.max()) - row + 1, int(cols.max()) - col + 1))
        read = self.mask.features(raw[0], valid)
        return np.asarray(read[rows - row, cols - col])

    def _under(self, window: Window) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the mask's row and column under the centre of each pixel, and whether the mask has a pixel there."""
        cols, rows = np.meshgrid(window.col + np.arange(window.cols) + 0.5, window.row + np.arange(window.rows) + 0.5)
        mask = self.mask.grid
        x, y = self.operation.transformer.transform(*self.grid.xy(cols, rows))
        cols, rows = mask.pixels(turned(mask.crs, x, float(np.mean(mask.bounds[::2]))), y)
        with np.errstate(invalid="ignore"):  # coordinates are infinite where the CRS cannot place them
            under = (cols >= 0) & (cols < mask.cols) & (rows >= 0) & (rows < mask.rows)
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
    left = turned(scene.crs, np.array(mask.transform.c), scene.transform.c)
    corner = np.array(scene.pixels(left, np.array(mask.transform.f)))
    same_pixels = np.allclose(mask.transform[:2] + mask.transform[3:5], scene.transform[:2] + scene.transform[3:5])
    sides = np.array([[mask.rows, mask.cols], [scene.rows, scene.cols]])
    nearly = 0 < np.abs(np.diff(sides, axis=0) / sides[1]).max() < _CROPPED
    if same_pixels and (np.abs(corner) < 0.5).all() and nearly:
        hint = "One of them was cropped or shifted. Export both on the same grid."
        return [
            Fault("grid_mismatch", f"{sizes}, but both start at the same corner and have the same pixel size.", hint)
        ]
    return []
