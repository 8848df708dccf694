"""Inspection of label layers: their contents, and whether they can be used."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
import rasterio
from pydantic import Field

from ml.bounded import Count, Degrees, Hectares, LongText, ShortText
from ml.class_notes import SECOND_CLASS, rarity_notes
from ml.contract import UNLABELLED
from ml.faults import Fault, InputRefused, Note, refuse_any
from ml.frozen import Frozen
from ml.geo.areas import PixelAreas, count_by_class, polygon_area_ha, window_areas
from ml.geo.crs import crs_name
from ml.geo.datum_shifts import DatumShift, datum_shift
from ml.geo.raster import LEAST_CACHE, lossy_compression
from ml.geo.windows import blocks_by_tile
from ml.labels.attributes import attributes_there, commonest
from ml.labels.class_report import MOST_TEXTS, OtherText, TextReport
from ml.labels.classes import (
    ANY,
    ClassTable,
    ClassValue,
    LabelOptions,
    class_names,
    marks_no_data,
    mask_classes,
    mask_table,
)
from ml.labels.conflicts import check_conflicts
from ml.labels.features import TextEncoding
from ml.labels.layer_notes import place_notes, wide_polygons, without_geometry
from ml.labels.layers import open_layer
from ml.labels.mask_layer import MaskLayer
from ml.labels.polygon_layer import PolygonLayer
from ml.labels.read import Kind
from ml.labels.repeated_ground import repeated_ha, repeated_notes
from ml.scenes.source import RasterSource

_BLOCK_PX = 2048
T = TypeVar("T")


# A field that is left out when it has no value, as in the reports of layers that were uploaded before it was counted.
IfKnown = Annotated[T | None, Field(exclude_if=lambda value: value is None)]


class ClassReport(Frozen):
    """One class of a label layer.

    value: Class value from 0 to 254, or 255 for unlabelled.
    name: Texts that `LabelOptions.classes` maps to this class; None if it has none.
    features: Number of polygons of this class; None for a mask.
    pixels: Number of pixels of this class in a mask; None for polygons.
    area_ha: Ground area of this class, in hectares. Ground that several polygons cover counts once.
    """

    value: ClassValue
    name: LongText | None
    features: Count | None = None
    pixels: Count | None = None
    area_ha: Hectares


class LabelReport(Frozen):
    """Contents of a label layer.

    features: Number of polygons; 0 for a mask.
    crs: Code of the CRS, or its name if it has no code.
    bbox: West, south, east and north limits, in degrees of WGS 84; west is larger than east across the date line.
    repairs: Notes about geometries that were repaired.
    warnings: Notes about things that the owner should check.
    layer: Name of the layer in its file; None if it has none.
    encoding: Encoding of the attributes' text; None where the format leaves no choice.
    unlabelled: Number of polygons without a text in the class attribute, which are not labelled; None for a mask.
    other_texts: Texts, or values of a mask, that only the key "*" of `classes` caught: first those that look like a
        key, then the commonest, 20 at most; None without `classes`.
    other_texts_left: Number of such texts that are not listed; None without `classes`.
    datum_shift: How the layer gets to WGS 84, the same for all of it; None without a change of datum.
    """

    kind: Kind
    features: Count
    crs: ShortText
    bbox: Degrees
    by_class: tuple[ClassReport, ...] = Field(max_length=256)
    repairs: tuple[Note, ...] = Field(max_length=10_000)
    warnings: tuple[Note, ...] = Field(max_length=10_000)
    layer: ShortText | None = None
    encoding: TextEncoding | None = None
    unlabelled: IfKnown[Count] = None
    other_texts: IfKnown[tuple[OtherText, ...]] = None
    other_texts_left: IfKnown[Count] = None
    datum_shift: IfKnown[DatumShift] = None


def inspect_labels(path: Path, options: LabelOptions | None = None) -> LabelReport:
    """Read a label layer of any kind and count its features or pixels, and its hectares, by class.

    Raises:
        InputRefused: The faults found. Codes: those of `open_layer`, unknown_class, unmatched_class,
            conflicting_labels, no_labels.
    """
    options = options or LabelOptions()
    layer = open_layer(path, options)
    return _polygon_report(layer, options) if isinstance(layer, PolygonLayer) else _mask_report(layer)


def _polygon_report(layer: PolygonLayer, options: LabelOptions) -> LabelReport:
    field = layer.legend.attribute
    counts = Counter(layer.legend.names) if field else Counter[str]()
    where = f"the attribute {field!r}{_guess(layer.file.encoding)}"
    texts = TextReport(counts, ClassTable(options.classes), "polygons", where)
    refuse_any(texts.faults())
    overlaps = check_conflicts(layer.geometries, layer.values)
    names, repeated = class_names(options.classes), repeated_ha(layer.geometries, layer.values, layer.crs)
    every_ha = np.bincount(layer.values, polygon_area_ha(layer.geometries, layer.crs), 256)
    area_ha = {value: float(every_ha[value]) - repeated.get(value, 0) for value in np.unique(layer.values).tolist()}
    by_class = tuple(
        ClassReport(value=value, name=names.get(value), features=int((layer.values == value).sum()), area_ha=ground_ha)
        for value, ground_ha in area_ha.items()
    )
    return LabelReport(
        kind=layer.kind,
        features=len(layer.values),
        crs=crs_name(layer.crs),
        bbox=layer.box,
        by_class=by_class,
        repairs=layer.notes,
        warnings=(
            *layer.file.notes,
            *without_geometry(layer),
            *texts.notes(),
            *_unclassed(layer),
            *_class_notes(by_class, options.background),
            *wide_polygons(layer),
            *overlaps,
            *repeated_notes(repeated, area_ha),
            *place_notes(layer),
        ),
        layer=layer.file.name,
        encoding=layer.file.encoding,
        unlabelled=texts.blank,
        **_other_texts(texts, options),
        datum_shift=datum_shift(layer.to_wgs84, layer.box),
    )


def _unclassed(layer: PolygonLayer) -> Iterator[Note]:
    """Yield one_class if no attribute gives the polygons their classes, though they differ in some texts."""
    if layer.legend.attribute is not None:
        return
    features = layer.file.features
    texts = {(name, value) for each in features for name, value in each.properties.items() if isinstance(value, str)}
    if max(Counter(name for name, _ in texts).values(), default=0) > 1:
        detail = f"All {len(features)} polygons have class 1, because no attribute was named for their classes."
        hint = f"{attributes_there(features)} Name one if it tells crops apart: class_field=..."
        yield Note(code="one_class", detail=detail, hint=hint)


def _class_notes(by_class: Sequence[ClassReport], background: int | None) -> Iterator[Note]:
    """Yield nothing_labelled, single_class if all labels are of one class, and rare_class if hardly any are of one.

    background: Class of the pixels outside all polygons, whose number is not known before there is a scene; None for a
    mask.
    """
    labelled = [item for item in by_class if item.value != UNLABELLED]
    if not labelled:
        detail = (
            "All polygons are of class 255, unlabelled: they only take labels away from the layers before this one."
        )
        yield Note(code="nothing_labelled", detail=detail, hint="If they should be labels, correct `classes`.")
    if background == 0:
        if {item.value for item in labelled} == {0}:
            detail = "All polygons are of class 0, as is what lies outside them."
            yield Note(code="single_class", detail=detail, hint="Draw fields of another class too.")
        return
    if len(labelled) == 1:
        detail = f"All labels are of class {_titled(labelled[0])}; everything else is unlabelled."
        hint = "Label other classes too, in this mask or in another layer." if background is None else SECOND_CLASS
        yield Note(code="single_class", detail=detail, hint=f"A net needs labels of two classes. {hint}")
    yield from rarity_notes({f"class {_titled(item)}": item.area_ha for item in labelled}, "labelled hectares")


def _titled(item: ClassReport) -> str:
    return f"{item.value} ({item.name[:40]})" if item.name else str(item.value)


def _guess(encoding: TextEncoding | None) -> str:
    """Return what to say of an encoding that no file names; "" if there is nothing to say."""
    if encoding is None or encoding.found_by != "text" or encoding.name == "utf-8":
        return ""
    return f" (read as {encoding.name}, which is a guess, as no .cpg file names it)"


def _counted(
    raw: np.ndarray, valid: np.ndarray, areas: PixelAreas, options: LabelOptions
) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
    """Return pixels and hectares of each class value in a window of a mask, and the pixels of each of its own values.

    Of whole windows of uint8 the values are counted, and not each pixel looked up, in a third of the time: a mask of
    0.6 Gpx can be a file of 20 kB.
    """
    if raw.dtype != np.uint8 or not valid.all():
        return *count_by_class(mask_classes(raw, valid, options), areas), _value_counts(raw[valid])
    counts, area_ha = count_by_class(raw, areas)
    found = np.flatnonzero(counts).astype(np.uint8)
    values, classes = mask_table(found, np.ones(len(found), dtype=bool), options)
    each = [np.bincount(classes, numbers[values], 256) for numbers in (counts, area_ha)]
    own = dict(zip(map(str, values.tolist()), counts[values].tolist(), strict=True))
    return each[0].astype(np.int64), each[1], own


def _mask_report(layer: MaskLayer) -> LabelReport:
    pixels, area_ha, names = np.zeros(256, dtype=np.int64), np.zeros(256), class_names(layer.options.classes)
    values = Counter[str]()
    small_cache = rasterio.Env(GDAL_CACHEMAX=4 * LEAST_CACHE)
    with small_cache, RasterSource(layer.path) as source:
        tile_px, compression = source.tile_px(_BLOCK_PX), lossy_compression(source.dataset)
        for window in blocks_by_tile(source.rows, source.cols, block_px=_BLOCK_PX, tile_px=tile_px):
            raw, valid = source.read_raw(window)
            counts, areas, own = _counted(raw[0], valid, window_areas(layer.grid, window), layer.options)
            pixels += counts
            area_ha += areas
            values.update(own)
    if not pixels[:UNLABELLED].any():
        detail = f"Every pixel of the mask is unlabelled: it is nodata, {UNLABELLED} or negative."
        raise InputRefused(
            Fault("no_labels", detail, "Check the declared nodata value. It may be one of your classes.")
        )
    table = ClassTable(layer.options.classes)
    unlabelled = {text: values.pop(text) for text in [*values] if marks_no_data(int(text), source.dtype, table)}
    besides = "" if source.nodata is None else f" (without its nodata value {source.nodata})"
    texts = TextReport(values, table, "pixels", f"the mask{besides}")
    refuse_any(texts.faults())
    by_class = tuple(
        ClassReport(value=value, name=names.get(value), pixels=int(pixels[value]), area_ha=float(area_ha[value]))
        for value in np.flatnonzero(pixels).tolist()
    )
    return LabelReport(
        kind="raster",
        features=0,
        crs=crs_name(layer.crs),
        bbox=layer.box,
        by_class=by_class,
        repairs=(),
        warnings=(
            *layer.notes,
            *texts.notes(),
            *_class_notes(by_class, None),
            *_lossy_mask(compression),
            *_unlabelled_values(unlabelled),
            *_only_nodata_else(texts, layer.options, besides, int(pixels[UNLABELLED])),
            *place_notes(layer),
        ),
        **_other_texts(texts, layer.options),
        datum_shift=datum_shift(layer.to_wgs84, layer.box),
    )


def _value_counts(values: np.ndarray) -> dict[str, int]:
    """Return how often each of some whole numbers occurs."""
    if values.dtype in (np.uint8, np.uint16):  # ten times as fast as sorting
        times = np.bincount(values)
        found = np.flatnonzero(times)
        times = times[found]
    else:
        found, times = np.unique(values, return_counts=True)
    return dict(zip(map(str, found.tolist()), times.tolist(), strict=True))


def _lossy_mask(compression: str) -> Iterator[Note]:
    """Yield lossy_mask if the compression of a mask changes its values. compression: Its name, "" if it does not."""
    if compression:
        detail = f"{compression} compression changes the class values of a mask, mostly at the borders of classes."
        hint = "Export the mask again from its source, compressed without loss: -co COMPRESS=DEFLATE"
        yield Note(code="lossy_mask", detail=detail, hint=hint)


def _unlabelled_values(pixels: Mapping[str, int]) -> Iterator[Note]:
    """Yield no_data_values if a mask has values, other than 255, that "*" leaves unlabelled.

    pixels: Number of pixels of each such value.
    """
    if others := {text: count for text, count in pixels.items() if text != str(UNLABELLED)}:
        listed = commonest(others)
        detail = f"Pixels with values that programs write for no data are unlabelled: {listed}."
        yield Note(code="no_data_values", detail=detail, hint='"*" does not stand for them: a key of their own does.')


def _only_nodata_else(texts: TextReport, options: LabelOptions, besides: str, unlabelled: int) -> Iterator[Note]:
    """Yield unmatched_text if "*" catches nothing because all other pixels have the nodata value of the mask.

    besides: What the mask holds beside its values, in messages; "" if it has no nodata value.
    """
    if besides and unlabelled and ANY in (options.classes or {}) and not texts.other:
        detail = (
            f"`*` catches no pixel: the mask{besides} has no other value, and {unlabelled:,} pixels are unlabelled."
        )
        hint = "If nodata is one of your classes, take it off: gdal_edit.py -unsetnodata mask.tif"
        yield Note(code="unmatched_text", detail=detail, hint=hint)


def _other_texts(texts: TextReport, options: LabelOptions) -> dict[str, Any]:
    if options.classes is None:
        return {}
    return {"other_texts": texts.other[:MOST_TEXTS], "other_texts_left": len(texts.other[MOST_TEXTS:])}
