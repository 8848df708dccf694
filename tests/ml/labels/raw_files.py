"""Label files written byte by byte, so that they can be as odd as those of any tool."""

import sqlite3
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pyproj import CRS

Ring = Sequence[Sequence[float]]
Column = tuple[bytes, str, int]  # name, letter of the type, width
PRJ = CRS(32648).to_wkt("WKT1_ESRI").encode()


def ring(
    left: float = 500_000, top: float = 1_200_000, size: float = 100, *, clockwise: bool = True
) -> list[list[float]]:
    """Return the closed outline of a square."""
    bottom, right = top - size, left + size
    corners = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
    return corners if clockwise else corners[::-1]


def shape(*rings: Ring, kind: int = 5, parts: int | None = None, points: int | None = None) -> bytes:
    """Return the content of a record of a .shp file: a polygon, or NULL without rings.

    kind: 5, or 15 or 25 with heights or measures of 7. parts, points: Counts that the record names, right by default.
    """
    if not rings:
        return struct.pack("<i", 0)
    flat = [point for one in rings for point in one]
    starts = [sum(map(len, rings[:number])) for number in range(len(rings))]
    counts = len(rings) if parts is None else parts, len(flat) if points is None else points
    content = struct.pack("<i4d2i", kind, 0, 0, 0, 0, *counts) + struct.pack(f"<{len(starts)}i", *starts)
    content += b"".join(struct.pack("<2d", *point[:2]) for point in flat)
    return content if kind == 5 else content + struct.pack(f"<{2 + len(flat)}d", *[7.0] * (2 + len(flat)))


def shp_and_shx(records: Sequence[bytes], *, gap: bytes = b"", backwards: bool = False) -> tuple[bytes, bytes]:
    """Return the .shp and the .shx of some records.

    gap: Bytes between the records, which no record of the .shx names. backwards: Whether the last comes first.
    """
    content, places = b"", dict[int, int]()
    order = range(len(records))
    for number in reversed(order) if backwards else order:
        content += gap
        places[number] = (100 + len(content)) // 2
        content += struct.pack(">2i", number + 1, len(records[number]) // 2) + records[number]
    index = b"".join(struct.pack(">2i", places[number], len(records[number]) // 2) for number in order)
    return _main_header(content) + content, _main_header(index) + index


def _main_header(content: bytes) -> bytes:
    return struct.pack(">7i", 9994, 0, 0, 0, 0, 0, (100 + len(content)) // 2) + struct.pack(
        "<2i8d", 1000, 5, *[0.0] * 8
    )


def dbf(
    columns: Sequence[Column],
    rows: Sequence[Sequence[bytes]],
    *,
    language_id: int = 0,
    deleted: Sequence[int] = (),
    lies: Mapping[str, int] | None = None,
) -> bytes:
    """Return a .dbf file. lies: `records`, `header` or `width` that its header names instead of the right ones."""
    lies = lies or {}
    width = lies.get("width", 1 + sum(size for *_, size in columns))
    header, count = lies.get("header", 33 + 32 * len(columns)), lies.get("records", len(rows))
    content = struct.pack("<4BIHH17xB2x", 3, 124, 1, 1, count, header, width, language_id)
    for name, kind, size in columns:
        content += struct.pack("<11sc4xBB14x", name, kind.encode(), size, 0)
    content += b"\r"
    for number, row in enumerate(rows):
        cells = [cell.ljust(size)[:size] for cell, (*_, size) in zip(row, columns, strict=True)]
        content += (b"*" if number in deleted else b" ") + b"".join(cells)
    return content + b"\x1a"


def zipped(path: Path, files: Mapping[str, bytes]) -> Path:
    """Write files to a zip."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def shapefile_of(records: Sequence[bytes], table: bytes, stem: str = "plots", /, **others: bytes) -> dict[str, bytes]:
    """Return the files of a Shapefile by name. others: Contents by suffix, without the dot, such as `cpg`."""
    shp, shx = shp_and_shx(records)
    files = {"shp": shp, "shx": shx, "dbf": table, "prj": PRJ} | others
    return {f"{stem}.{suffix}": content for suffix, content in files.items()}


def wkb(
    polygons: Sequence[Sequence[Ring]], *, order: str = "<", z: bool = False, m: bool = False, ewkb: bool = False
) -> bytes:
    """Return one polygon, or several as a multipolygon, in ISO WKB or in EWKB with an SRID; z and m are 7."""
    kind = 3 if len(polygons) == 1 else 6
    start = b"" if kind == 3 else _start(6, order, z, m, ewkb) + struct.pack(f"{order}I", len(polygons))
    return start + b"".join(_polygon(rings, order, z, m, ewkb and kind == 3) for rings in polygons)


def _start(kind: int, order: str, z: bool, m: bool, ewkb: bool) -> bytes:
    code = kind | z << 31 | m << 30 | 1 << 29 if ewkb else kind + 1000 * z + 2000 * m
    return struct.pack(f"{order}BI", order == "<", code) + (struct.pack(f"{order}I", 32648) if ewkb else b"")


def _polygon(rings: Sequence[Ring], order: str, z: bool, m: bool, ewkb: bool) -> bytes:
    content = _start(3, order, z, m, ewkb) + struct.pack(f"{order}I", len(rings))
    for one in rings:
        content += struct.pack(f"{order}I", len(one))
        for point in one:
            numbers = (*point[:2], *[7.0] * (z + m))
            content += struct.pack(f"{order}{len(numbers)}d", *numbers)
    return content


def blob(geometry: bytes, *, flags: int = 1, envelope: bytes = b"") -> bytes:
    """Return a geometry of a GeoPackage: its header, and WKB."""
    return b"GP\0" + bytes([flags]) + struct.pack("<i", 32648) + envelope + geometry


def gpkg(
    path: Path,
    rows: Sequence[Sequence[Any]],
    *,
    columns: str = "fid INTEGER PRIMARY KEY, geom BLOB, crop TEXT",
    table: str = "plots",
    geometry: str = "geom",
    srs: int = 32648,
    then: Sequence[str] = (),
) -> Path:
    """Write a GeoPackage with one table of features by sqlite3. then: Statements that are run at the end."""
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as connection:
        for statement in _SCHEMA:
            connection.execute(statement)
        systems = [("u", -1, "NONE", -1, "undefined"), ("u", 0, "NONE", 0, "undefined")]
        systems += [("UTM", 32648, "EPSG", 32648, CRS(32648).to_wkt("WKT1_GDAL"))]
        connection.executemany("INSERT INTO gpkg_spatial_ref_sys VALUES (?, ?, ?, ?, ?, NULL)", systems)
        connection.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, srs_id) VALUES (?, 'features', ?)", (table, srs)
        )
        connection.execute(
            "INSERT INTO gpkg_geometry_columns VALUES (?, ?, 'GEOMETRY', ?, 0, 0)", (table, geometry, srs)
        )
        quoted = '"' + table.replace('"', '""') + '"'
        connection.execute(f"CREATE TABLE {quoted} ({columns})")
        for row in rows:
            connection.execute(f"INSERT INTO {quoted} VALUES ({', '.join('?' * len(row))})", row)
        for statement in then:
            connection.execute(statement)
    connection.close()
    return path


_SCHEMA = (
    "PRAGMA application_id = 1196444487",
    "CREATE TABLE gpkg_spatial_ref_sys (srs_name TEXT, srs_id INTEGER PRIMARY KEY, organization TEXT,"
    " organization_coordsys_id INTEGER, definition TEXT, description TEXT)",
    "CREATE TABLE gpkg_contents (table_name TEXT PRIMARY KEY, data_type TEXT, identifier TEXT, description TEXT,"
    " last_change DATETIME DEFAULT '2024-01-01T00:00:00Z', min_x DOUBLE, min_y DOUBLE, max_x DOUBLE, max_y DOUBLE,"
    " srs_id INTEGER)",
    "CREATE TABLE gpkg_geometry_columns (table_name TEXT, column_name TEXT, geometry_type_name TEXT, srs_id INTEGER,"
    " z TINYINT, m TINYINT)",
)
