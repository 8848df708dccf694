"""Label layers that can be rasterised on the grid of any scene: polygons with a class each, or a mask."""

from pathlib import Path
from typing import Protocol

import numpy as np
import pyproj

from ml.geo.grid import Box, Grid
from ml.geo.operations import Operation
from ml.geo.windows import Window
from ml.labels.classes import FeatureClasses, LabelOptions
from ml.labels.fields import Fields
from ml.labels.mask_layer import MaskLayer
from ml.labels.polygon_layer import PolygonLayer
from ml.labels.read import kind_of


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


def open_layer(path: Path, options: LabelOptions, name: str = "") -> PolygonLayer | MaskLayer:
    """Open a label layer of any kind; the first bytes of the file show which kind it is.

    name: Name of the layer in messages; by default the name of the file without its suffix.

    Raises:
        InputRefused: For polygons, the faults of `read_layer`, `repaired`, `absent_attributes`, `classes_of` and
            `fields_of`. For a mask, the faults of `check_raster`, `checked_grid` and `check_keys`, corrupt_tiff,
            not_a_mask, bad_scale, and unknown_layer.
    """
    kind = MaskLayer if kind_of(path) == "raster" else PolygonLayer
    return kind(path, options, name or path.stem)
