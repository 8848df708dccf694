"""Reader for GeoPackage. It uses sqlite3, because OGR would run views, which may never end, and virtual tables.

A GeoPackage is a program as well as a file: views, generated columns and virtual tables compute what is read. So only
named columns of plain tables are read, and no more bytes than the file has.
"""

import sqlite3
import struct
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pyproj
from shapely.geometry import MultiPolygon, Polygon

from ml.faults import Fault, InputRefused, Note
from ml.geo.crs import crs_from_code
from ml.geo.crs_codes import contradictory, crs_of_file, different
from ml.labels.features import (
    Feature,
    FeatureLayer,
    NoPolygonError,
    Row,
    Unread,
    listed,
    read_features,
    refuse_many_values,
    usable_crs_of,
)
from ml.labels.formats.several_layers import chosen_layer
from ml.labels.formats.wkb import polygon_from_wkb

SECONDS = 20  # time limit for reading one file
_STEPS = 100_000  # instructions of SQLite's virtual machine between two checks of the time limit
MAX_VALUE_BYTES = 16 << 20  # of a text or a geometry: a polygon of a million vertices
_SPARE_BYTES = 1 << 20  # what may be read beyond the size of the file
_TABLES = ("gpkg_contents", "gpkg_geometry_columns", "gpkg_spatial_ref_sys")
_OTHER_DATABASES = (
    ("geometry_columns", "a SpatiaLite database"),
    ("tiles", "an MBTiles archive of map tiles"),
    ("gdb_items", "an Esri mobile geodatabase"),
)
_ENVELOPE_BYTES = {0: 0, 1: 32, 2: 48, 3: 48, 4: 64}  # by the envelope code in the geometry header
_LITTLE_ENDIAN = 0x01  # flag in the geometry header
_EXTENDED = 0x20  # flag in the geometry header: what follows is not standard WKB
_WAL = 2  # file format in the header of SQLite: rows may be in a write-ahead log beside the file
_UNKNOWN_CRS = (-1, 0)  # srs_id of undefined systems, and of texts that define none
_UNDEFINED = ("", "undefined", "none")
_EXPORT = "Send a GeoPackage with one layer of polygons: export it again."


def read_geopackage(path: Path, layer: str | None = None) -> FeatureLayer:
    """Read the polygons of a GeoPackage.

    layer: Name of the layer to read, which may be omitted if there is one only.

    Raises:
        InputRefused: bad_archive, unknown_layer, bad_geometry, too_many_features.
    """
    texts, unread, systems = _Texts(), Unread(), Counter[int]()
    try:
        with closing(_connect(path, texts)) as connection:
            _refuse_programs(connection)
            table = _feature_table(connection, layer)
            rows = _rows(connection, table, path.stat().st_size + _SPARE_BYTES)
            positions = {name: number for number, name in enumerate(table.attributes)}
            features, without_geometry = read_features(rows, lambda row: _feature(row, positions, unread, systems))
            crs, refused = usable_crs_of(lambda: _crs_of_table(connection, table))
    except (sqlite3.Error, UnicodeError, OverflowError) as error:
        raise _bad(_reason(error)) from None
    notes = (*_write_ahead_log(path), *unread.notes(), *texts.notes(), *_other_systems(systems, table.srs))
    return FeatureLayer(
        "geopackage", crs, features, without_geometry, name=table.name, notes=notes, crs_refused=refused
    )


@dataclass
class _Texts:
    """Decodes the texts of a file, and remembers those that are not UTF-8. Equal texts are one object."""

    cache: dict[bytes, str] = field(default_factory=dict)
    damaged: dict[str, None] = field(default_factory=dict)

    def decode(self, raw: bytes) -> str:
        if raw not in self.cache:
            text = raw.split(b"\0")[0].decode("utf-8", "replace")
            if text.encode() != raw:
                self.damaged.setdefault(text)
            if len(self.cache) > 100_000:
                self.cache.clear()
            self.cache[raw] = text
        return self.cache[raw]

    def notes(self) -> tuple[Note, ...]:
        if not self.damaged:
            return ()
        detail = f"{len(self.damaged)} different texts are not UTF-8, or hold NUL: {listed(self.damaged)}."
        return (Note(code="undecodable_text", detail=detail, hint="Export the layer again in UTF-8."),)


@dataclass(frozen=True)
class _Table:
    """A layer. geometry: name of its geometry column; attributes: names of the others.

    srs: srs_id of the layer, as the list of geometry columns has it. listed_srs: As the list of contents has it.
    """

    name: str
    geometry: str
    attributes: tuple[str, ...]
    srs: int
    listed_srs: int


def _connect(path: Path, texts: _Texts) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
    connection.text_factory = texts.decode
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    connection.execute("PRAGMA temp_store = MEMORY")  # the sandbox of a reader has no folder for temporary files
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
    end = time.monotonic() + SECONDS
    connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
    return connection


def _bad(detail: str) -> InputRefused:
    return InputRefused(Fault("bad_archive", detail, _EXPORT))


def _reason(error: Exception) -> str:
    if str(error) == "interrupted":
        return f"The GeoPackage takes over {SECONDS} seconds to read."
    if str(error) == "string or blob too big":
        return f"A value in the GeoPackage has over {MAX_VALUE_BYTES:,} bytes."
    return "The GeoPackage is damaged."


def _refuse_programs(connection: sqlite3.Connection) -> None:
    """Raise bad_archive for virtual tables, which run extension code. Only spatial indexes (rtree) are safe.

    Raise it also if a table of the standard is missing, or is no plain table.
    """
    for (sql,) in connection.execute("SELECT sql FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL%'"):
        if "using rtree" not in " ".join(str(sql).lower().split()):
            raise _bad("The GeoPackage holds a virtual table.")
    tables = {str(name).lower() for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if _TABLES[0] not in tables:
        for table, other in _OTHER_DATABASES:
            if table in tables:
                raise _bad(f"The file is {other}, not a GeoPackage.")
    for name in _TABLES:
        _check_plain(connection, name)


def _check_plain(connection: sqlite3.Connection, name: str) -> None:
    """Raise bad_archive unless `name` is a table whose rows lie in the file: no view and no virtual table."""
    query = "SELECT type, rootpage, sql FROM sqlite_master WHERE name = ? COLLATE NOCASE AND type IN ('table', 'view')"
    found = connection.execute(query, (name,)).fetchall()
    if not found:
        raise _bad(f"The GeoPackage has no table {name[:80]!r}.")
    ((kind, page, sql), *others) = found
    if others or kind != "table" or not page or not str(sql).startswith("CREATE TABLE "):  # as SQLite itself writes it
        raise _bad(f"{name[:80]!r} in the GeoPackage is a view or a virtual table, not a table.")


def _feature_table(connection: sqlite3.Connection, layer: str | None) -> _Table:
    """Return the layer to read: the one called `layer`, or the only one."""
    layers = connection.execute(
        "SELECT c.table_name, g.column_name, g.srs_id, c.srs_id FROM gpkg_contents c"
        " JOIN gpkg_geometry_columns g USING (table_name) WHERE c.data_type = 'features' ORDER BY c.rowid"
    ).fetchmany(1000)
    if not layers:
        raise _bad("The GeoPackage holds no layer of features.")
    name, column, *systems = layers[chosen_layer([str(name) for name, *_ in layers], layer)]
    _check_plain(connection, str(name))
    if any(isinstance(srs, str | bytes) for srs in systems):  # SQLite lets any column hold a text
        raise _bad("The srs_id of the layer is no number.")
    srs, listed = systems
    return _columns(connection, str(name), str(column), int(srs or 0), int((srs if listed is None else listed) or 0))


def _columns(connection: sqlite3.Connection, table: str, geometry: str, *systems: int) -> _Table:
    """Return the layer with the names of its columns. The primary key is left out: it is the number of the row."""
    columns = connection.execute(f"PRAGMA table_xinfo({_quoted(table)})").fetchall()
    if any(hidden for *_, hidden in columns):
        raise _bad("The layer has generated columns, which are computed when they are read.")
    keys = [name for _, name, kind, _, _, key, _ in columns if key and kind.upper() == "INTEGER"]
    key = keys[0] if len(keys) == 1 else None
    names = [name for _, name, *_ in columns]
    found = [name for name in names if name.lower() == geometry.lower()]
    if len(found) != 1:
        raise _bad(f"The layer lacks its geometry column {geometry[:80]!r}.")
    return _Table(table, found[0], tuple(name for name in names if name not in (key, found[0])), *systems)


def _rows(connection: sqlite3.Connection, table: _Table, budget: int) -> Iterator[Sequence[object]]:
    """Yield the geometry and the attributes of each row, until they have more than `budget` bytes in all."""
    columns = ", ".join(map(_quoted, (table.geometry, *table.attributes)))
    for number, row in enumerate(connection.execute(f"SELECT {columns} FROM {_quoted(table.name)}")):
        refuse_many_values(number + 1, table.attributes)
        budget -= sum(len(value) for value in row if isinstance(value, str | bytes))
        if budget < 0:
            raise _bad("The rows of the layer have more bytes than the file.")
        yield row


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _feature(row: Sequence[object], positions: dict[str, int], unread: Unread, systems: Counter[int]) -> Feature | None:
    """Read a row; None if it has no geometry. systems: Counts the numbers of the CRSs that geometries name."""
    geometry = _geometry(row[0])
    if geometry is None or not isinstance(row[0], bytes):
        return None
    systems[_srs_of(row[0])] += 1
    return Feature(geometry, Row(positions, tuple(map(unread.simple, positions, row[1:]))))


def _geometry(blob: object) -> Polygon | MultiPolygon | None:
    """Decode a geometry as the GeoPackage specification, 2.1.3, encodes it: a header followed by plain WKB."""
    if blob is None:
        return None
    version_0 = isinstance(blob, bytes) and len(blob) >= 8 and blob.startswith(b"GP\0")
    if not isinstance(blob, bytes) or not version_0 or blob[3] >> 1 & 7 not in _ENVELOPE_BYTES:
        raise NoPolygonError("it is not a GeoPackage geometry")
    if blob[3] & _EXTENDED:
        raise NoPolygonError("its geometry is encoded in a way of one vendor's")
    return polygon_from_wkb(blob[8 + _ENVELOPE_BYTES[blob[3] >> 1 & 7] :])


def _srs_of(blob: bytes) -> int:
    """Return the number of the CRS that the header of a geometry names."""
    (srs,) = struct.unpack_from("<i" if blob[3] & _LITTLE_ENDIAN else ">i", blob, 4)
    return int(srs)


def _other_systems(systems: Counter[int], layer: int) -> Iterator[Note]:
    """Yield other_crs if geometries name another CRS than their layer, as copies from another layer do.

    systems: Number of geometries by the number of their CRS. layer: That of the layer.
    """
    others = {srs: count for srs, count in systems.items() if srs not in (layer, *_UNKNOWN_CRS)}
    if others:
        listed = ", ".join(f"{srs} ({count})" for srs, count in list(others.items())[:12])
        detail = f"Geometries say that they are in another CRS than their layer ({layer}), by its number: {listed}."
        hint = "They are read in the CRS of the layer. If they were copied from another layer, project them."
        yield Note(code="other_crs", detail=detail, hint=hint)


def _crs_of_table(connection: sqlite3.Connection, table: _Table) -> pyproj.CRS | None:
    """Return the CRS of a layer; raise contradictory_crs if the file says two things of it, in any of its tables."""
    crs = _crs(connection, table.srs)
    if table.listed_srs not in (table.srs, *_UNKNOWN_CRS):
        listed = _crs(connection, table.listed_srs)
        if crs is None or listed is None or different(crs, listed):
            raise contradictory(f"srs_id {table.srs} in gpkg_geometry_columns", f"{table.listed_srs} in gpkg_contents")
    return crs


def _crs(connection: sqlite3.Connection, srs: int) -> pyproj.CRS | None:
    if srs in _UNKNOWN_CRS:
        return None
    rows = connection.execute(
        "SELECT organization, organization_coordsys_id, definition FROM gpkg_spatial_ref_sys WHERE srs_id = ?", (srs,)
    ).fetchmany(2)
    if len(rows) > 1:
        raise contradictory(f"srs_id {srs} once", "once more in gpkg_spatial_ref_sys")
    found = [crs for row in rows for crs in _defined(connection, srs, *row)]
    for other in found[1:]:
        if difference := different(found[0], other):
            raise contradictory(f"{found[0].name!r} as srs_id {srs}", f"{other.name!r} as its definition, {difference}")
    return found[0] if found else None


def _defined(
    connection: sqlite3.Connection, srs: int, organization: object, code: object, definition: object
) -> Iterator[pyproj.CRS]:
    """Yield the CRS of a row of gpkg_spatial_ref_sys, by its code and by its definitions.

    Beside a code of EPSG, a definition that cannot be read says nothing.
    """
    authority = str(organization).upper()
    if authority == "EPSG":
        yield crs_from_code(f"EPSG:{code}")
    for text in (str(definition or ""), *_wkt2(connection, srs)):
        if text.strip().lower() in _UNDEFINED:
            continue
        crs, refused = usable_crs_of(partial(crs_of_file, text))
        if refused and (authority != "EPSG" or refused.faults[0].code == "contradictory_crs"):
            raise refused
        if crs:
            yield crs
    listed, _ = usable_crs_of(lambda: crs_from_code(f"ESRI:{code}") if authority == "ESRI" else None)
    if listed:
        yield listed


def _wkt2(connection: sqlite3.Connection, srs: int) -> list[str]:
    """Return the definition in WKT 2, which an extension of the standard keeps in a column of its own."""
    columns = [name for _, name, *_ in connection.execute("PRAGMA table_info(gpkg_spatial_ref_sys)")]
    if "definition_12_063" not in columns:
        return []
    query = "SELECT definition_12_063 FROM gpkg_spatial_ref_sys WHERE srs_id = ?"
    return [str(text or "") for (text,) in connection.execute(query, (srs,))]


def _write_ahead_log(path: Path) -> tuple[Note, ...]:
    """Return a note if rows may be missing, because the writer kept them in a second file, which was not sent."""
    with path.open("rb") as file:
        header = file.read(20)
    if _WAL not in header[18:20]:
        return ()
    detail = "The GeoPackage was written with a write-ahead log. Rows that are still in it (the -wal file) are missing."
    hint = "Close the program that wrote the file, or export the layer again, and compare the number of features."
    return (Note(code="write_ahead_log", detail=detail, hint=hint),)
