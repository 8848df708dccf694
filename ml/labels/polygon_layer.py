"""Label layers of polygons with a class each, which can be rasterised on the grid of any scene."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import shapely
from affine import Affine
from rasterio.features import rasterize

from ml.faults import Fault, InputRefused, Note, refuse_any
from ml.geo.areas import straight_px
from ml.geo.crs import full_turn, turned
from ml.geo.grid import Grid
from ml.geo.operations import Operation, operation
from ml.geo.windows import Window
from ml.labels.attributes import absent_attributes
from ml.labels.classes import LabelOptions, classes_of
from ml.labels.features import NO_FEATURE
from ml.labels.fields import fields_of
from ml.labels.polygons import Polygons, surroundings

_DOUBTS_ABOUT_TEXT = ("guessed_encoding", "undecodable_text")


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


@contextmanager
def _doubts_about_text_are_told(notes: Iterable[Note]) -> Iterator[None]:
    """Add the notes that doubt the encoding to a refusal of the classes, which may have no other cause."""
    try:
        yield
    except InputRefused as refused:
        doubts = [Fault(note.code, note.detail, note.hint) for note in notes if note.code in _DOUBTS_ABOUT_TEXT]
        raise InputRefused(*doubts, *refused.faults, more=refused.more) from None
