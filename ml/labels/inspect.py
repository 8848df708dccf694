"""Layers of truth: what they hold, and whether they can be used."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ml.contract import UNLABELLED
from ml.faults import Fault, InputRefused, Note
from ml.frozen import Frozen
from ml.geo.areas import count_by_class, polygon_area_ha, row_area_ha
from ml.geo.crs import crs_code
from ml.geo.grid import Box
from ml.geo.windows import blocks
from ml.labels.classes import LabelOptions, class_names, mask_classes
from ml.labels.conflicts import check_conflicts
from ml.labels.layers import MaskLayer, PolygonLayer, open_layer
from ml.labels.read import Kind, wgs84_bounds
from ml.scenes.source import RasterSource

_BLOCK_PX = 1024


class ClassReport(Frozen):
    """One class of a layer. name: the texts that mean it. features: of polygons; pixels: of a mask."""

    value: int
    name: str | None
    features: int | None = None
    pixels: int | None = None
    area_ha: float


class LabelReport(Frozen):
    """What a layer of labels holds. features: polygons, 0 of a mask. bbox: west, south, east, north in degrees.

    repairs: what was mended to use it. warnings: what its owner should look at.
    """

    kind: Kind
    features: int
    crs: str
    bbox: Box
    by_class: tuple[ClassReport, ...]
    repairs: tuple[Note, ...]
    warnings: tuple[Note, ...]


def inspect_labels(path: Path, options: LabelOptions | None = None) -> LabelReport:
    """Read a layer of labels of any kind and count what it holds.

    Raises:
        InputRefused: with the faults found. Codes: those of `open_layer`, unknown_class, conflicting_labels, no_labels.
    """
    options = options or LabelOptions()
    truth = open_layer(path, options)
    return _polygon_report(truth, options) if isinstance(truth, PolygonLayer) else _mask_report(truth)


def _polygon_report(truth: PolygonLayer, options: LabelOptions) -> LabelReport:
    overlaps = check_conflicts(truth.geometries, truth.values)
    area_ha, names = polygon_area_ha(truth.geometries, truth.crs), class_names(options.classes)
    return LabelReport(
        kind=truth.kind,
        features=len(truth.values),
        crs=_crs_name(truth),
        bbox=wgs84_bounds(truth.geometries, truth.crs),
        by_class=tuple(
            ClassReport(
                value=value,
                name=names.get(value),
                features=int((truth.values == value).sum()),
                area_ha=float(area_ha[truth.values == value].sum()),
            )
            for value in np.unique(truth.values).tolist()
        ),
        repairs=truth.notes,
        warnings=(*_unplaced(truth), *overlaps),
    )


def _mask_report(truth: MaskLayer) -> LabelReport:
    pixels, area_ha, names = np.zeros(256, dtype=np.int64), np.zeros(256), class_names(truth.options.classes)
    with RasterSource(truth.path) as source:
        for window in blocks(source.rows, source.cols, block_px=_BLOCK_PX):
            raw, valid = source.read_raw(window)
            counts, areas = count_by_class(mask_classes(raw[0], valid, truth.options), row_area_ha(truth.grid, window))
            pixels += counts
            area_ha += areas
    if not pixels[:UNLABELLED].any():
        detail = f"Every pixel of the mask is nodata or {UNLABELLED}: unlabelled."
        raise InputRefused(Fault("no_labels", detail, "Look at the declared nodata: it may be one of your classes."))
    return LabelReport(
        kind="raster",
        features=0,
        crs=_crs_name(truth),
        bbox=truth.grid.bbox(),
        by_class=tuple(
            ClassReport(value=value, name=names.get(value), pixels=int(pixels[value]), area_ha=float(area_ha[value]))
            for value in np.flatnonzero(pixels).tolist()
        ),
        repairs=(),
        warnings=(),
    )


def _crs_name(truth: PolygonLayer | MaskLayer) -> str:
    return crs_code(truth.crs) or truth.crs.name


def _unplaced(truth: PolygonLayer) -> Iterator[Note]:
    if truth.unplaced:
        yield Note(code="no_geometry", detail=f"{truth.unplaced} features have no geometry and are left out.")
