"""Inspection of zones: what a layer holds, and what is odd about it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from pydantic import Field

from ml.bounded import Count, Degrees, Hectares, ShortText
from ml.faults import Note
from ml.frozen import Frozen
from ml.geo.areas import polygon_area_ha, with_short_edges
from ml.geo.crs import crs_name
from ml.geo.datum_shifts import DatumShift, datum_shift
from ml.labels.features import TextEncoding, VectorKind
from ml.labels.layer_notes import place_notes, wide_polygons, without_geometry
from ml.text import first_few
from ml.zones.features import write_features
from ml.zones.overlaps import Shared, overlap_ha, shared_ground
from ml.zones.placing import EDGE_M, MORE_POINTS
from ml.zones.read import MOST_ZONES, ZoneOptions, Zones

MOST_OVERLAPS = 100  # that a report lists


class Zone(Frozen):
    """One zone.

    code, name, parent: What its attributes say; name and parent are None where they say nothing.
    area_ha: Its area on the ellipsoid, in hectares.
    overlap_ha: How much of it lies in other zones too, which it is no part of and which are no part of it.
    """

    code: ShortText
    name: ShortText | None
    parent: ShortText | None
    area_ha: Hectares
    overlap_ha: Hectares


class Overlap(Frozen):
    """Ground that lies in two zones. zones: Their codes."""

    zones: tuple[ShortText, ShortText]
    area_ha: Hectares


class ZoneReport(Frozen):
    """Contents of a layer of zones.

    features: Number of polygons. zones: Number of zones; features with the same code, name and parent are one.
    crs: Code of the CRS, or its name if it has no code.
    bbox: West, south, east and north limits, in degrees of WGS 84; west is larger than east across the date line.
    area_ha: Hectares of all zones together; ground that lies in several counts once for each.
    overlaps: The largest overlaps of two zones, 100 at most. overlaps_left: Number of those that are not listed.
    overlap_ha: Hectares of all overlaps.
    unknown_parents: Codes of parents that are no zones of this layer, 100 at most.
    repairs: Notes about geometries that were repaired. warnings: Notes about things that the owner should check.
    layer: Name of the layer in its file; None if it has none.
    encoding: Encoding of the attributes' text; None where the format leaves no choice.
    datum_shift: How the layer gets to WGS 84, the same for all of it; None without a change of datum.
    """

    kind: VectorKind
    features: Count
    zones: Count
    crs: ShortText
    bbox: Degrees
    area_ha: Hectares
    overlaps: tuple[Overlap, ...] = Field(max_length=MOST_OVERLAPS)
    overlaps_left: Count
    overlap_ha: Hectares
    unknown_parents: tuple[ShortText, ...] = Field(max_length=MOST_OVERLAPS)
    repairs: tuple[Note, ...] = Field(max_length=10_000)
    warnings: tuple[Note, ...] = Field(max_length=10_000)
    layer: ShortText | None
    encoding: TextEncoding | None
    datum_shift: DatumShift | None


class InspectedZones(Frozen):
    """The report of a layer of zones, and each of them, in the order of the file."""

    report: ZoneReport
    zones: tuple[Zone, ...] = Field(max_length=MOST_ZONES)


def inspect_zones(path: Path, options: ZoneOptions, features: Path) -> InspectedZones:
    """Read a layer of zones, measure them, and write them to `features` as `write_features` does.

    Raises:
        InputRefused: The faults of `Zones` and of `write_features`.
    """
    layer = Zones(path, options)
    shared = shared_ground(layer)
    twice_ha = overlap_ha(layer, shared)
    area_ha = zone_areas_ha(layer)
    columns = zip(layer.texts, area_ha.tolist(), twice_ha.tolist(), strict=True)
    zones = tuple(
        Zone(code=each.code, name=each.name, parent=each.parent, area_ha=size, overlap_ha=twice)
        for each, size, twice in columns
    )
    write_features(layer, zones, features)
    return InspectedZones(report=_report(layer, zones, shared), zones=zones)


def zone_areas_ha(layer: Zones) -> np.ndarray:
    """Hectares of each zone on the ellipsoid, shape (zones,), with edges as short as `outlines_on` has them."""
    short = with_short_edges(layer.geometries, layer.crs, EDGE_M, MORE_POINTS)
    return polygon_area_ha(short, layer.crs)


def _report(layer: Zones, zones: Sequence[Zone], shared: Sequence[Shared]) -> ZoneReport:
    unknown = list(dict.fromkeys(each.parent for each in zones if each.parent and each.parent not in layer.number_of))
    codes = [each.code for each in zones]
    return ZoneReport(
        kind=layer.kind,
        features=len(layer.features),
        zones=len(zones),
        crs=crs_name(layer.crs),
        bbox=layer.box,
        area_ha=sum(each.area_ha for each in zones),
        overlaps=tuple(
            Overlap(zones=(codes[each.one], codes[each.other]), area_ha=each.area_ha) for each in shared[:MOST_OVERLAPS]
        ),
        overlaps_left=len(shared[MOST_OVERLAPS:]),
        overlap_ha=sum(each.area_ha for each in shared),
        unknown_parents=tuple(unknown[:MOST_OVERLAPS]),
        repairs=layer.notes,
        warnings=(
            *layer.file.notes,
            *without_geometry(layer),
            *_joined(layer),
            *_overlapping(shared, codes),
            *_unknown_parents(unknown, zones),
            *_same_names(zones),
            *wide_polygons(layer),
            *place_notes(layer),
        ),
        layer=layer.file.name,
        encoding=layer.file.encoding,
        datum_shift=datum_shift(layer.to_wgs84, layer.box),
    )


def _joined(layer: Zones) -> Iterator[Note]:
    """Yield joined_features if features with the same code, name and parent were taken as one zone."""
    if layer.joined:
        listed = first_few([f"{code} ({count})" for code, count in layer.joined.items()])
        detail = f"Features with the same code, name and parent are one zone: {listed}."
        yield Note(code="joined_features", detail=detail, hint="Correct the codes if these are different zones.")


def _overlapping(shared: Sequence[Shared], codes: Sequence[str]) -> Iterator[Note]:
    """Yield overlapping_zones if ground lies in several zones."""
    if shared:
        total_ha = sum(each.area_ha for each in shared)
        listed = first_few([f"{codes[each.one]} and {codes[each.other]} {each.area_ha:.4f} ha" for each in shared])
        detail = f"{len(shared)} pairs of zones overlap, by {total_ha:.4f} ha in all: {listed}."
        hint = "A sum over zones counts this ground twice; `overlap_ha` of a zone is its share. Correct the borders."
        yield Note(code="overlapping_zones", detail=detail, hint=hint)


def _unknown_parents(unknown: Sequence[str], zones: Sequence[Zone]) -> Iterator[Note]:
    """Yield unknown_parent if parents are no zones of the layer."""
    if unknown:
        count = sum(each.parent in set(unknown) for each in zones)
        detail = f"{count} zones have parents that are no zones of this layer: {first_few(unknown)}."
        yield Note(code="unknown_parent", detail=detail, hint="Correct the codes if they should be.")


def _same_names(zones: Sequence[Zone]) -> Iterator[Note]:
    """Yield same_name if zones of one parent have one name, which tables show beside different codes."""
    codes: dict[tuple[str, str | None], list[str]] = {}
    for each in zones:
        if each.name:
            codes.setdefault((each.name, each.parent), []).append(each.code)
    if same := [f"{name} ({', '.join(found[:3])})" for (name, _), found in codes.items() if len(found) > 1]:
        yield Note(code="same_name", detail=f"Several zones have one name: {first_few(same)}.", hint="Check the codes.")
