"""Label layers that are rasters of class values, which can be resampled to the grid of any scene."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyproj
from rasterio.io import DatasetReader

from ml.contract import UNLABELLED
from ml.faults import Fault, InputRefused, refuse_any
from ml.geo.crs import turned
from ml.geo.grid import Box, Grid, far_apart
from ml.geo.operations import Operation, operation
from ml.geo.placement import checked_grid
from ml.geo.raster import open_raster, pixel_types, refusing_damage
from ml.geo.windows import Window
from ml.labels.classes import FeatureClasses, LabelOptions, mask_table
from ml.labels.features import NO_FEATURE
from ml.labels.formats.several_layers import refuse_layer
from ml.scenes.geo_keys import check_keys
from ml.scenes.source import RasterSource
from ml.scenes.tiff_agreement import check_raster
from ml.scenes.tiff_safety import TiffLayout

_NOT_VALID = 0  # number of the feature that stands for the pixels of a mask without a value
_WHOLE_NUMBERS = "Write them as whole numbers of at most 32 bits: gdal_translate -ot Int32 old.tif new.tif"
_CROPPED = 0.1  # share of a scene's sides by which a mask of it may differ if one was cropped; a mosaic differs more
_FINEST = 8  # largest ratio of the scene's pixel side to the mask's pixel side


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
