"""Mutations of GeoPackages: of the schema, of the geometries (WKB) and of the pages of SQLite."""

import sqlite3
import struct
from contextlib import closing
from random import Random

from benchmarks.fuzzing.blobs import mutate_bytes, number

_STATEMENTS = (
    "DROP TABLE gpkg_contents",
    "DROP TABLE gpkg_geometry_columns",
    "DROP TABLE gpkg_spatial_ref_sys",
    "DELETE FROM gpkg_spatial_ref_sys",
    "UPDATE gpkg_geometry_columns SET srs_id = {n}",
    "UPDATE gpkg_geometry_columns SET column_name = '{t}'",
    "UPDATE gpkg_geometry_columns SET table_name = '{t}'",
    "UPDATE gpkg_contents SET table_name = 'sqlite_master'",
    "UPDATE gpkg_contents SET data_type = '{t}'",
    "UPDATE gpkg_spatial_ref_sys SET organization = '{t}', organization_coordsys_id = {n}",
    "UPDATE gpkg_spatial_ref_sys SET definition = '{t}'",
    "UPDATE gpkg_spatial_ref_sys SET organization = 'NONE', definition = hex(zeroblob(400000))",
    "ALTER TABLE {table} ADD COLUMN made TEXT AS (hex(zeroblob({n}))) VIRTUAL",
    "ALTER TABLE {table} ADD COLUMN more BLOB DEFAULT (zeroblob({n}))",
    'ALTER TABLE {table} ADD COLUMN "a ""b" TEXT DEFAULT \'{t}\'',
    "ALTER TABLE {table} RENAME COLUMN crop TO '{t}'",
    "UPDATE {table} SET crop = '{t}'",
    "UPDATE {table} SET crop = {n}",
    "UPDATE {table} SET crop = zeroblob(70000)",
    "UPDATE {table} SET geom = zeroblob(70000)",
    "UPDATE {table} SET geom = '{t}'",
    "UPDATE {table} SET geom = NULL",
    "INSERT INTO {table} SELECT NULL, geom, crop FROM {table}",
    "CREATE VIEW v AS WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM r) SELECT x, x AS geom FROM r",
    "UPDATE gpkg_contents SET table_name = 'v'; UPDATE gpkg_geometry_columns SET table_name = 'v'",
    "CREATE VIRTUAL TABLE f USING fts5(a)",
    "CREATE TRIGGER t AFTER INSERT ON {table} BEGIN SELECT hex(zeroblob({n})); END",
    "INSERT INTO gpkg_contents SELECT 'b', data_type, 'b', '', '', 0, 0, 0, 0, srs_id FROM gpkg_contents",
    "PRAGMA user_version = {n}",
    "PRAGMA application_id = {n}",
)
_TEXTS = ("", "crop", "geom", "features", "EPSG", "甘蔗", "a'' b", "x" * 5000, "PROJCS[", "plots")
_TYPES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 16, 17, 1003, 2006, 3007, 0x80000003, 0x20000006, 0xFFFFFFFF)


def mutate_geopackage(random: Random, parent: bytes) -> bytes:
    """Return a copy of `parent` after one to three changes by SQL, or with other bytes if SQLite cannot open it."""
    if random.random() < 0.2:
        return mutate_bytes(random, parent)
    with closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.deserialize(parent)
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 1 << 20)
            for _ in range(random.randint(1, 3)):
                _change(random, connection)
            connection.commit()
            child: bytes = connection.serialize()
        except (sqlite3.Error, MemoryError, OverflowError, UnicodeError):  # the parent may be damaged in any way
            return mutate_bytes(random, parent)
    return _header(random, child) if random.random() < 0.1 else child


def _header(random: Random, data: bytes) -> bytes:
    """Change a number in the header of the file: page size, journal version, size, text encoding and so on."""
    child = bytearray(data)
    child[random.choice((16, 17, 18, 19, 20, 28, 31, 47, 56, 59))] = number(random) & 0xFF
    return bytes(child)


def _change(random: Random, connection: sqlite3.Connection) -> None:
    rows = connection.execute("SELECT fid, geom FROM plots").fetchmany(20)
    if rows and random.random() < 0.5:
        fid, blob = random.choice(rows)
        if isinstance(blob, bytes):
            connection.execute("UPDATE plots SET geom = ? WHERE fid = ?", (mutate_wkb(random, blob), fid))
        return
    statement = random.choice(_STATEMENTS)
    values = {"n": number(random) % 2**31, "t": random.choice(_TEXTS), "table": "plots"}
    connection.executescript(statement.format(**values))


def mutate_wkb(random: Random, blob: bytes) -> bytes:
    """Return a GeoPackage geometry with another type, count, flag or coordinate, nested, or cut."""
    head, wkb = blob[:8], blob[8:]
    match random.randrange(6):
        case 0:
            return head + wkb[:1] + struct.pack("<I", random.choice(_TYPES)) + wkb[5:]
        case 1:
            at = random.choice((5, 9, 13))
            return head + wkb[:at] + struct.pack("<I", number(random) % 2**32) + wkb[at + 4 :]
        case 2:
            depth = random.choice((2, 50, 5000))
            return head + (b"\1" + struct.pack("<II", 7, 1)) * depth + wkb
        case 3:
            flags = bytes([random.randrange(256)])
            return head[:3] + flags + head[4:] + wkb
        case 4:
            value = random.choice((float("nan"), float("inf"), 1e308, -1e-300, 0.0))
            return head + wkb[:13] + struct.pack("<d", value) + wkb[21:]
        case _:
            return mutate_bytes(random, blob)
