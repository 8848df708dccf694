"""Reader for GeoPackage. It uses sqlite3, because OGR would run views, which may never end, and virtual tables."""

import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import numpy as np
import pyproj
import shapely
from shapely.geometry import MultiPolygon, Polygon

from ml.faults import Fault, InputRefused
from ml.geo.crs import crs_from_code, crs_from_wkt
from ml.labels.features import Feature, FeatureLayer, NoPolygonError, read_features, simple_value

SECONDS = 60  # time limit for reading one file
_STEPS = 100_000  # instructions of SQLite's virtual machine between two checks of the time limit
_ENVELOPE_BYTES = {0: 0, 1: 32, 2: 48, 3: 48, 4: 64}  # by the envelope code in the geometry header


def read_geopackage(path: Path) -> FeatureLayer:
    """Read the polygons of a GeoPackage, which must have exactly one feature table.

    Raises:
        InputRefused: bad_archive, bad_geometry, bad_crs, unknown_crs, too_many_features.
    """
    try:
        with closing(_connect(path)) as connection:
            _refuse_virtual_tables(connection)
            table, column, srs = _feature_table(connection)
            features, without_geometry = read_features(_rows(connection, table, column), lambda row: _feature(*row))
            return FeatureLayer("geopackage", _crs(connection, srs), features, without_geometry)
    except (sqlite3.Error, UnicodeDecodeError):
        raise _bad("The GeoPackage is damaged, or takes too long to read.") from None


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 64 << 20)
    end = time.monotonic() + SECONDS
    connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
    return connection


def _bad(detail: str) -> InputRefused:
    return InputRefused(Fault("bad_archive", detail, "Send a GeoPackage with one layer of polygons: export it again."))


def _refuse_virtual_tables(connection: sqlite3.Connection) -> None:
    """Raise bad_archive for virtual tables, which run extension code. Only spatial indexes (rtree) are safe."""
    for (sql,) in connection.execute("SELECT sql FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL%'"):
        if "using rtree" not in " ".join(str(sql).lower().split()):
            raise _bad("The GeoPackage holds a virtual table.")


def _feature_table(connection: sqlite3.Connection) -> tuple[str, str, int]:
    """Return the table name, the geometry column and the srs_id of the only layer."""
    layers = connection.execute(
        "SELECT c.table_name, g.column_name, g.srs_id FROM gpkg_contents c"
        " JOIN gpkg_geometry_columns g USING (table_name) WHERE c.data_type = 'features'"
    ).fetchmany(2)
    if len(layers) != 1:
        raise _bad("The GeoPackage holds several layers." if layers else "The GeoPackage holds no layer of features.")
    ((table, column, srs),) = layers
    kind = connection.execute("SELECT type FROM sqlite_master WHERE name = ?", (table,)).fetchall()
    if kind != [("table",)]:
        raise _bad("The layer is a view, not a table.")
    return table, column, srs


def _crs(connection: sqlite3.Connection, srs: int) -> pyproj.CRS | None:
    row = connection.execute(
        "SELECT organization, organization_coordsys_id, definition FROM gpkg_spatial_ref_sys WHERE srs_id = ?", (srs,)
    ).fetchone()
    if row is None or srs in (-1, 0):
        return None
    organization, code, definition = row
    if str(organization).upper() == "EPSG":
        return crs_from_code(f"EPSG:{code}")
    return crs_from_wkt(str(definition))


def _feature(geometry: object, attributes: Mapping[str, object]) -> Feature | None:
    if geometry is None:
        return None
    return Feature(_geometry(geometry), {name: simple_value(value) for name, value in attributes.items()})


def _rows(connection: sqlite3.Connection, table: str, column: str) -> Iterator[tuple[object, dict[str, object]]]:
    """Yield the geometry and the attributes of each row."""
    quoted = '"' + table.replace('"', '""') + '"'
    cursor = connection.execute(f"SELECT * FROM {quoted}")
    names = [description[0] for description in cursor.description]
    for values in cursor:
        row = dict(zip(names, values, strict=True))
        yield row.pop(column), row


def _geometry(blob: object) -> Polygon | MultiPolygon:
    """Decode a geometry as the GeoPackage specification, 2.1.3, encodes it: a header followed by plain WKB."""
    if not isinstance(blob, bytes) or blob[:2] != b"GP" or len(blob) < 8:
        raise NoPolygonError("it is not a GeoPackage geometry")
    envelope = _ENVELOPE_BYTES.get(blob[3] >> 1 & 7, 0)
    geometry = shapely.force_2d(shapely.from_wkb(blob[8 + envelope :], on_invalid="ignore"))
    if not isinstance(geometry, Polygon | MultiPolygon) or geometry.is_empty:
        raise NoPolygonError("its geometry is not a polygon")
    if not np.isfinite(shapely.get_coordinates(geometry)).all():
        raise NoPolygonError("its coordinates are not finite")
    return geometry
