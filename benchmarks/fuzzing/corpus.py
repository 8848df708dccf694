"""The parents of mutated files: small valid files of each kind, and files whose answer was new."""

import hashlib
import io
import json
import sqlite3
import struct
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyproj
import shapefile
import shapely
from affine import Affine
from rasterio.io import MemoryFile

MAX_PARENT_BYTES = 256 << 10
_CRS = "EPSG:32648"
_SQUARES = [shapely.box(500_000 + 200 * n, 1_199_000, 500_100 + 200 * n, 1_199_100) for n in range(4)]
_CROPS = ("甘蔗", "水稻", "cane", "")
_RASTERS: tuple[Mapping[str, object], ...] = (
    {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate", "predictor": 2},
    {"tiled": True, "blockxsize": 32, "blockysize": 16, "compress": "lzw", "interleave": "band"},
    {"blockysize": 3, "compress": "zstd", "bigtiff": "yes", "endianness": "big"},
    {"compress": "none", "nodata": 0},
    {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "jpeg", "dtype": "uint8"},
    {"compress": "packbits", "nbits": 12},
    {"sparse_ok": "true", "dtype": "float32", "compress": "deflate", "predictor": 3},
)


@dataclass
class Corpus:
    """Parents by kind of file. It grows by files whose answer was new, and keeps those in `folder` for later runs.

    folder: Where parents of earlier runs are, and new ones go; None keeps them for this run only.
    """

    folder: Path | None = None
    parents: dict[str, list[bytes]] = field(default_factory=dict)
    _valid: Mapping[str, Sequence[bytes]] = field(default_factory=dict)
    _answers: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._valid = seeds()
        self.parents = {kind: list(files) for kind, files in self._valid.items()}
        for kind, parents in self.parents.items():
            if self.folder is not None:
                (self.folder / kind).mkdir(parents=True, exist_ok=True)
                parents += [path.read_bytes() for path in sorted((self.folder / kind).iterdir())]

    def parent(self, kind: str, random: Random) -> bytes:
        """Draw a parent: a valid file as often as one whose answer was new, which mostly is one that was refused."""
        return random.choice(random.choice((self._valid, self.parents))[kind])

    def grow(self, kind: str, file: bytes, answer: str) -> None:
        """Take `file` as a parent if no other file of its kind had this answer and it is small."""
        if (kind, answer) in self._answers or len(file) > MAX_PARENT_BYTES:
            return
        self._answers.add((kind, answer))
        self.parents[kind].append(file)
        if self.folder is not None:
            (self.folder / kind / hashlib.sha256(file).hexdigest()[:16]).write_bytes(file)

    @property
    def answers(self) -> int:
        """How many different answers were seen."""
        return len(self._answers)


def seeds() -> dict[str, list[bytes]]:
    """Return small valid files, by kind."""
    rasters = [_geotiff(**profile) for profile in _RASTERS]
    return {"tiff": rasters, "shapefile": [_shapefile()], "geopackage": [_geopackage()], "geojson": [_geojson()]}


def _geotiff(**profile: object) -> bytes:
    dtype = str(profile.get("dtype", "uint16"))
    image = np.random.default_rng(0).integers(1, 200, (3, 40, 50)).astype(dtype)
    shape = {"driver": "GTiff", "count": 3, "height": 40, "width": 50, "dtype": dtype, "crs": _CRS}
    with MemoryFile() as memory:
        grid = Affine(10, 0, 500_000, 0, -10, 1_200_000)
        with memory.open(**{**shape, "transform": grid, **profile}) as file:
            file.write(image)
        return bytes(memory.getbuffer())


def _geojson() -> bytes:
    features = [
        {"type": "Feature", "properties": {"crop": crop}, "geometry": shapely.geometry.mapping(square)}
        for crop, square in zip(_CROPS, _SQUARES, strict=True)
    ]
    crs = {"type": "name", "properties": {"name": _CRS}}
    return json.dumps({"type": "FeatureCollection", "crs": crs, "features": features}).encode()


def _shapefile() -> bytes:
    files = {suffix: io.BytesIO() for suffix in ("shp", "shx", "dbf")}
    make: Any = shapefile.Writer
    with make(**files, shapeType=shapefile.POLYGON, encoding="utf-8") as writer:
        writer.field("crop", "C", size=20)
        for crop, square in zip(_CROPS, _SQUARES, strict=True):
            writer.poly(
                [list(square.exterior.coords)[::-1] if square.exterior.is_ccw else list(square.exterior.coords)]
            )
            writer.record(crop)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for suffix, file in files.items():
            archive.writestr(f"plots.{suffix}", file.getvalue())
        archive.writestr("plots.prj", pyproj.CRS(_CRS).to_wkt("WKT1_ESRI"))
        archive.writestr("plots.cpg", "UTF-8")
    return buffer.getvalue()


def _geopackage() -> bytes:
    """Write the least of a GeoPackage that the specification asks for, by hand: every part of it is to be changed."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(
            """
            PRAGMA application_id = 1196444487; PRAGMA user_version = 10300;
            CREATE TABLE gpkg_spatial_ref_sys (srs_name TEXT, srs_id INTEGER PRIMARY KEY, organization TEXT,
                organization_coordsys_id INTEGER, definition TEXT, description TEXT);
            CREATE TABLE gpkg_contents (table_name TEXT PRIMARY KEY, data_type TEXT, identifier TEXT, description TEXT,
                last_change TEXT, min_x REAL, min_y REAL, max_x REAL, max_y REAL, srs_id INTEGER);
            CREATE TABLE gpkg_geometry_columns (table_name TEXT, column_name TEXT, geometry_type_name TEXT,
                srs_id INTEGER, z INTEGER, m INTEGER);
            CREATE TABLE plots (fid INTEGER PRIMARY KEY, geom BLOB, crop TEXT);
            INSERT INTO gpkg_contents VALUES ('plots', 'features', 'plots', '', '2024-01-01', 0, 0, 0, 0, 32648);
            INSERT INTO gpkg_geometry_columns VALUES ('plots', 'geom', 'POLYGON', 32648, 0, 0);
            """
        )
        wkt = pyproj.CRS(_CRS).to_wkt("WKT1_GDAL")
        connection.execute("INSERT INTO gpkg_spatial_ref_sys VALUES ('a', 32648, 'EPSG', 32648, ?, '')", (wkt,))
        header = b"GP\0\1" + struct.pack("<i", 32648)
        rows = [(header + square.wkb, crop) for crop, square in zip(_CROPS, _SQUARES, strict=True)]
        connection.executemany("INSERT INTO plots (geom, crop) VALUES (?, ?)", rows)
        connection.commit()
        return bytes(connection.serialize())
