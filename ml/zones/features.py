"""Zones as GeoJSON in WGS 84, for web maps."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import shapely
from shapely.geometry import MultiPolygon, Polygon

from ml.faults import Fault, refuse_any
from ml.frozen import Frozen
from ml.geo.areas import with_short_edges
from ml.geo.grid import cut_at_date_line
from ml.zones.placing import goes_round_a_pole, unwrapped
from ml.zones.read import Zones

EDGE_M = 5000.0  # of such an edge the middle leaves the one that was drawn by 20 cm, in the latitude of Guangxi
_HEAD, _END = '{"type": "FeatureCollection", "features": [\n', "\n]}\n"


def write_features(zones: Zones, properties: Iterable[Frozen], path: Path) -> None:
    """Write zones as GeoJSON, one feature on each line. properties: Of each zone.

    Longitudes and latitudes are those of WGS 84. Outer rings run counter-clockwise, and what crosses the date line is
    cut there (RFC 7946).

    Raises:
        InputRefused: round_a_pole for zones that go round a pole.
    """
    short = with_short_edges(zones.geometries, zones.crs, EDGE_M)
    there = zones.to_wgs84.transformer
    placed = shapely.transform(short, lambda xy: np.column_stack(there.transform(*xy.T)))
    refuse_any(
        Fault("round_a_pole", f"Zone {texts.code!r} goes round a pole.", "Cut it at the date line and at the pole.")
        for texts, geometry in zip(zones.texts, placed.tolist(), strict=True)
        if any(_wide(part) and goes_round_a_pole(part, 360) for part in shapely.get_parts(geometry).tolist())
    )
    with path.open("w", encoding="utf-8") as file:
        separator = _HEAD
        for geometry, known in zip(placed.tolist(), properties, strict=True):
            outline = shapely.to_geojson(shapely.orient_polygons(_cut(geometry)))
            file.write(f'{separator}{{"type": "Feature", "properties": {json_of(known)}, "geometry": {outline}}}')
            separator = ",\n"
        file.write(_END)


def json_of(known: Frozen) -> str:
    """A value as one line of JSON."""
    return json.dumps(known.model_dump(mode="json"), ensure_ascii=False)


def _wide(polygon: Polygon) -> bool:
    return bool(np.ptp(np.array(polygon.bounds)[::2]) > 180)


def _cut(geometry: Polygon | MultiPolygon) -> Polygon | MultiPolygon:
    parts = [piece for part in shapely.get_parts(geometry).tolist() for piece in cut_at_date_line(unwrapped(part, 360))]
    return parts[0] if len(parts) == 1 else MultiPolygon(parts)
