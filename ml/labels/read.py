"""Layers of polygons in any format, found from their bytes and made fit for use."""

from pathlib import Path
from typing import Literal

import numpy as np
import pyproj
import shapely

from ml.faults import Fault, InputRefused
from ml.geo.crs import crs_from_code, to_wgs84
from ml.geo.grid import Box
from ml.labels.features import MAX_FILE_BYTES, FeatureLayer
from ml.labels.geojson import read_geojson
from ml.labels.geopackage import read_geopackage
from ml.labels.shapefile import read_shapefile

Kind = Literal["geojson", "geopackage", "shapefile", "raster"]
_MAGIC: tuple[tuple[bytes, Kind], ...] = (
    (b"SQLite format 3\0", "geopackage"),
    (b"PK", "shapefile"),
    (b"II\x2a\0", "raster"),
    (b"II\x2b\0", "raster"),
    (b"MM\0\x2a", "raster"),
    (b"MM\0\x2b", "raster"),
)
_READERS = {"geojson": read_geojson, "geopackage": read_geopackage, "shapefile": read_shapefile}


def kind_of(path: Path) -> Kind:
    """The kind of a label file by its first bytes; what is nothing else is taken for GeoJSON."""
    with path.open("rb") as file:
        start = file.read(16)
    return next((kind for magic, kind in _MAGIC if start.startswith(magic)), "geojson")


def read_layer(path: Path, *, crs: str | None = None) -> FeatureLayer:
    """The polygons of a file.

    crs: what their owner declared, like "EPSG:32648"; it goes before what the file says.

    Raises:
        InputRefused: bad_json, bad_archive, bad_geometry, bad_crs, unknown_crs, missing_crs, bad_extent, no_features,
            too_large, too_many_features.
    """
    if path.stat().st_size > MAX_FILE_BYTES:
        detail = f"The file has over {MAX_FILE_BYTES:,} bytes."
        raise InputRefused(Fault("too_large", detail, "Send it in parts, one for each region."))
    layer = _READERS[kind_of(path)](path)
    if crs is not None:
        layer = FeatureLayer(layer.kind, crs_from_code(crs), layer.features, layer.unplaced)
    if not layer.features:
        raise InputRefused(Fault("no_features", "The layer holds no polygon.", "Export the layer again."))
    if layer.crs is None:
        hint = "Declare it: crs=EPSG:32648, or send the .prj with the Shapefile."
        raise InputRefused(Fault("missing_crs", "The file names no coordinate reference system.", hint))
    wgs84_bounds(np.array([feature.geometry for feature in layer.features]), layer.crs)
    return layer


def wgs84_bounds(geometries: np.ndarray, crs: pyproj.CRS) -> Box:
    """The box around all polygons together.

    Raises:
        InputRefused: bad_extent, the coordinates are no places on the Earth.
    """
    left, bottom, right, top = shapely.total_bounds(geometries)
    lon, lat = to_wgs84(crs).transform([left, left, right, right], [bottom, top, bottom, top])
    x, y = ([left, right], [bottom, top]) if crs.is_geographic else (lon, lat)
    if not np.isfinite([*lon, *lat]).all() or np.abs(x).max() > 180 + 1e-6 or np.abs(y).max() > 90 + 1e-6:
        detail = f"In {crs.name} the bounds {left:.6g}, {bottom:.6g}, {right:.6g}, {top:.6g} are no place on the Earth."
        hint = "Declare the CRS of the coordinates (crs=EPSG:32648), put x before y, cut polygons at the date line."
        raise InputRefused(Fault("bad_extent", detail, hint))
    west, south, east, north = to_wgs84(crs).transform_bounds(left, bottom, right, top)  # looks along the edges, too
    return west, south, east, north
