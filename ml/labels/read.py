"""Reads layers of polygons in any format. The first bytes of a file show its format."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyproj
import shapely
from affine import Affine
from pyproj.exceptions import ProjError

from ml.faults import Fault, InputRefused, Note
from ml.geo.crs import crs_from_code, crs_name, full_turn, to_wgs84
from ml.geo.grid import Box, Grid, box_around
from ml.labels.features import MAX_FILE_BYTES, FeatureLayer
from ml.labels.formats.geojson import read_geojson
from ml.labels.formats.geopackage import read_geopackage
from ml.labels.formats.shapefile import read_shapefile
from ml.other_formats import JSONS, ZIP_STARTS, other_format_of

Kind = Literal["geojson", "geopackage", "shapefile", "raster"]
_MAGIC: tuple[tuple[bytes, Kind], ...] = (
    (b"SQLite format 3\0", "geopackage"),
    *((start, "shapefile") for start in ZIP_STARTS),
    (b"II\x2a\0", "raster"),
    (b"II\x2b\0", "raster"),
    (b"MM\0\x2a", "raster"),
    (b"MM\0\x2b", "raster"),
)
_READERS = {"geojson": read_geojson, "geopackage": read_geopackage, "shapefile": read_shapefile}


def kind_of(path: Path) -> Kind:
    """Return the kind of a label file by its first bytes; GeoJSON if they match no other kind."""
    with path.open("rb") as file:
        start = file.read(16)
    return next((kind for magic, kind in _MAGIC if start.startswith(magic)), "geojson")


def read_layer(path: Path, *, crs: str | None = None, layer: str | None = None) -> FeatureLayer:
    """Read the polygons of a file and check that they lie on the Earth.

    crs: CRS that the owner declared, like "EPSG:32648"; it overrides the CRS in the file.
    layer: Name of the layer to read, which may be omitted if the file holds one only.

    Raises:
        InputRefused: bad_json, bad_archive, unknown_layer, bad_geometry, bad_crs,
            unknown_crs, missing_crs, bad_extent, no_features, too_large, too_many_features.
    """
    if path.stat().st_size > MAX_FILE_BYTES:
        detail = f"The file has over {MAX_FILE_BYTES:,} bytes."
        raise InputRefused(Fault("too_large", detail, "Send several layers, one for each region."))
    kind = kind_of(path)
    if kind == "geojson":
        _refuse_other_format(path)
    found = _READERS[kind](path, layer)
    if crs is not None:
        found = _declared(found, crs_from_code(crs))
    elif found.crs_refused:
        raise found.crs_refused
    if not found.features:
        raise InputRefused(Fault("no_features", "The layer holds no polygon.", "Export the layer again."))
    if found.crs is None:
        hint = "Declare the CRS, like crs=EPSG:32648, or send the .prj file with the Shapefile."
        raise InputRefused(Fault("missing_crs", "The file names no coordinate reference system.", hint, "/crs"))
    _check_placed(found, found.crs)
    return found


def _refuse_other_format(path: Path) -> None:
    other = other_format_of(path)
    if other is not None and other.name not in JSONS:
        raise InputRefused(Fault("bad_json", other.detail, other.as_labels))


def _check_placed(layer: FeatureLayer, crs: pyproj.CRS) -> None:
    """Raise bad_extent or unknown_crs if the polygons cannot be placed on the Earth."""
    try:
        wgs84_bounds(np.array([feature.geometry for feature in layer.features]), crs)
    except ProjError:
        detail = f"PROJ cannot place coordinates of {crs_name(crs)!r} on the Earth."
        raise InputRefused(Fault("unknown_crs", detail, "Declare the CRS, like crs=EPSG:32648.", "/crs")) from None


def _declared(layer: FeatureLayer, crs: pyproj.CRS) -> FeatureLayer:
    """Return the layer with the CRS that its owner declared, and a note if the file says something else."""
    said = "names one that cannot be used" if layer.crs_refused else f"says {crs_name(layer.crs)}" if layer.crs else ""
    if not said or (layer.crs and layer.crs.equals(crs, ignore_axis_order=True)):
        return replace(layer, crs=crs)
    note = Note(
        code="declared_crs",
        detail=f"Coordinates are read in {crs_name(crs)}, as declared; the file {said}.",
        hint="Omit crs= if the file is right.",
    )
    return replace(layer, crs=crs, notes=(*layer.notes, note))


def wgs84_bounds(geometries: np.ndarray, crs: pyproj.CRS) -> Box:
    """Return the bounding box of all polygons together, in degrees of WGS 84.

    Longitudes may run from -180 to 180, from 0 to 360, or beyond 180 degrees at the date line.

    geometries: Polygons in `crs`, shape (features,).

    Raises:
        InputRefused: bad_extent if the coordinates are not places on the Earth.
    """
    left, bottom, right, top = shapely.total_bounds(geometries)
    turn = full_turn(crs) if crs.is_geographic else None
    lon, lat = to_wgs84(crs).transform([left, left, right, right], [bottom, top, bottom, top])
    placed = bool(np.isfinite([*lon, *lat]).all())
    if turn:
        placed &= max(abs(left), abs(right)) <= 1.5 * turn and max(abs(bottom), abs(top)) <= turn / 4 * (1 + 1e-8)
        placed &= right - left <= turn * (1 + 1e-8)
    if not placed:
        bounds = f"{left:.6g}, {bottom:.6g}, {right:.6g}, {top:.6g}"
        detail = f"The bounds {bounds} in {crs.name} are not places on the Earth."
        hint = "Declare the CRS of the coordinates (crs=EPSG:32648), and put x before y."
        raise InputRefused(Fault("bad_extent", detail, hint))
    if not turn:
        # a layer without extent, which is refused later, counts as one unit wide
        around = Grid(1, 1, Affine(right - left or 1.0, 0, left, 0, bottom - top or -1.0, top), crs)
        return around.bbox() if np.isfinite(around.outline_wgs84).all() else _EVERYWHERE
    left, right = _shortest_arc(shapely.bounds(geometries)[:, ::2], turn)
    outline = shapely.get_coordinates(shapely.segmentize(shapely.box(left, bottom, right, top), turn / 16)).T
    rough = box_around(*to_wgs84(crs).transform(*outline)) or _EVERYWHERE
    return box_around(*to_wgs84(crs, rough).transform(*outline)) or _EVERYWHERE


_EVERYWHERE = (-180.0, -90.0, 180.0, 90.0)


def _shortest_arc(ranges: np.ndarray, turn: float) -> tuple[float, float]:
    """Return where the shortest range of longitudes begins and ends that holds all given ones, by whole turns.

    So polygons on both sides of the date line span a few degrees and not the whole Earth.

    ranges: Smallest and largest longitude of each polygon, shape (polygons, 2). turn: A full turn in the same unit.
    """
    start = ranges[:, 0] % turn
    order = np.argsort(start)
    start, end = start[order], (start + np.ptp(ranges, axis=1))[order]
    before = np.maximum.accumulate(np.append(end.max() - turn, end[:-1]))  # where the ranges before each one end
    widest = int(np.argmax(start - before))
    if start[widest] <= before[widest]:
        return -turn / 2, turn / 2
    left = float(ranges[order[widest], 0])
    return left, left + float(before[widest] + turn - start[widest])
