"""Write the polygons of a class map to files: GeoJSON for the web and GeoPackage for a GIS."""

import json
import sqlite3
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import repeat
from math import ceil, degrees, log10, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely
from fudgeo.enumeration import FieldType, ShapeType
from fudgeo.geopkg import Field, GeoPackage, SpatialReferenceSystem
from numpy.typing import NDArray
from pyproj.exceptions import CRSError
from shapely.geometry import LinearRing, Polygon

from ml.contract import ClassDef
from ml.geo.areas import pixel_side_m, straight_px
from ml.geo.crs import crs_code, lonlat
from ml.geo.grid import Grid, cut_at_date_line, grid_of
from ml.geo.raster import open_raster
from ml.products.mean_probability import Probabilities
from ml.products.palette import polygons_qml
from ml.products.polygons import Patches, patches, traced_values
from ml.products.simplification import Simplify, simplification
from ml.progress import Tick, still

DECIMALS = 7  # of a degree, which is about a centimetre: enough for pixels of ten metres
_FINE_PX = 8e-5  # degrees; smaller pixels need more decimals
_ROUNDED_PX = 5e-4  # share of a fine pixel's side by which a corner may move
_EARTH_M = 6_378_137
_PROBABILITY_DECIMALS = 4  # a probability byte is a 250th
_LAYER = "classes"
_HEADER_BYTES = 8 + 4 * 8  # of the geometries that `_blob` makes
_AT_ONCE = 4096
LAST_CHANGE = "2000-01-01T00:00:00.000Z"
_STYLES = """
CREATE TABLE layer_styles (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, f_table_catalog TEXT(256), f_table_schema TEXT(256),
  f_table_name TEXT(256), f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT,
  useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30), update_time DATETIME
)
"""
_OWN_SRS = 100_000  # for a CRS that no authority has numbered

Write = Callable[[Patches], None]
ZoneNames = Sequence[tuple[str, str | None]]  # code and name of each zone


@dataclass(frozen=True)
class Written:
    """The patches of one class. area_ha: Of those in the files. left_out_ha: Of those below `min_area_ha`."""

    count: int
    area_ha: float
    left_out_ha: float


def write_polygons(
    classes: Path,
    names: Sequence[ClassDef],
    geojson: Path,
    geopackage: Path,
    *,
    min_area_ha: float,
    simplify_m: float | None = None,
    probabilities: Probabilities | None = None,
    tick: Tick = still,
) -> dict[int, Written]:
    """Trace the patches of a class map, and write them to both files.

    Of two classes the patches of class 1 are traced, of more classes those of all.

    classes: Path of the class map. names: All classes of the map. min_area_ha: Patches smaller than this are left out.
    simplify_m: How much outlines are simplified, see `simplification`; None writes them exactly. probabilities: Of the
    map; without, the attribute `probability` is null. tick: Called at least every second or so.

    Returns:
        What was written, by class value.
    """
    with open_raster(classes) as dataset:
        grid = grid_of(dataset)
    values = traced_values(names)
    exact: AbstractContextManager[Simplify] = nullcontext(lambda geometries: geometries)
    count, area_ha, left_out_ha = np.zeros(256, np.int64), np.zeros(256), np.zeros(256)
    with (
        simplification(classes, values, simplify_m, tick) if simplify_m else exact as simplify,
        geojson_file(geojson, grid, names) as to_geojson,
        gpkg_file(geopackage, grid, names) as to_geopackage,
    ):
        for some in patches(classes, values, tick):
            large = some.areas_ha >= min_area_ha
            kept, left_out = some.chosen(large), some.chosen(~large)
            count += np.bincount(kept.values, minlength=256)
            area_ha += np.bincount(kept.values, kept.areas_ha, 256)
            left_out_ha += np.bincount(left_out.values, left_out.areas_ha, 256)
            if probabilities and len(kept.values):
                kept = replace(kept, probabilities=probabilities.means(kept.geometries, kept.values, grid))
            drawn = replace(kept, geometries=simplify(kept.geometries))
            to_geojson(drawn)
            to_geopackage(drawn)
    return {value: Written(int(count[value]), float(area_ha[value]), float(left_out_ha[value])) for value in values}


@contextmanager
def geojson_file(path: Path, grid: Grid, names: Sequence[ClassDef], zones: ZoneNames | None = None) -> Iterator[Write]:
    """Write GeoJSON: features in degrees of WGS 84, one on each line, rings by the right-hand rule (RFC 7946).

    A polygon that crosses the date line is written as a MultiPolygon that is cut there. zones: Of the patches, if they
    were cut at their borders: then features have the attributes `zone` and `zone_name`.
    """
    name_of = {item.value: item.name for item in names}
    outlines = _Outlines(grid)
    # a pixel of ten metres has 0.01 ha; areas of smaller ones need more decimals
    area_decimals = max(6, ceil(8 - 2 * log10(pixel_side_m(grid))))
    separator = "\n"
    with path.open("w", encoding="utf-8") as file:

        def write(some: Patches) -> None:
            nonlocal separator
            written = shapely.to_geojson(outlines.in_degrees(some.geometries))
            areas_ha = some.areas_ha.round(area_decimals).tolist()
            columns = some.values.tolist(), areas_ha, _probabilities(some), _zone_attributes(some, zones), written
            for value, area_ha, probability, of_zone, outline in zip(*columns, strict=True):
                attributes = {"class": value, "name": name_of[value], "area_ha": area_ha, "probability": probability}
                attributes |= of_zone
                known = json.dumps(attributes, ensure_ascii=False)
                file.write(f'{separator}{{"type": "Feature", "properties": {known}, "geometry": {outline}}}')
                separator = ",\n"

        file.write('{"type": "FeatureCollection", "features": [')
        yield write
        file.write("\n]}\n")


def _zone_attributes(some: Patches, zones: ZoneNames | None) -> list[dict[str, str | None]]:
    """Code and name of the zone of each patch, None for one that lies in none; nothing without zones."""
    if zones is None or some.zones is None:
        return [{} for _ in some.values]
    found = (zones[number] if number >= 0 else (None, None) for number in some.zones.tolist())
    return [{"zone": code, "zone_name": name} for code, name in found]


def _probabilities(some: Patches) -> list[float | None]:
    return [None if np.isnan(each) else round(each, _PROBABILITY_DECIMALS) for each in some.probabilities.tolist()]


class _Outlines:
    """Turns polygons of a grid into polygons in degrees of WGS 84, exact enough for the pixels of the grid."""

    def __init__(self, grid: Grid) -> None:
        self._grid, pixel = grid, degrees(pixel_side_m(grid) / _EARTH_M)
        self._decimals = DECIMALS if pixel >= _FINE_PX else ceil(-log10(_ROUNDED_PX * pixel))
        self._edge = straight_px(grid) * sqrt(abs(grid.transform.determinant))

    def in_degrees(self, geometries: NDArray[np.object_]) -> NDArray[np.object_]:
        """Return valid polygons or multipolygons in degrees, shape (n,). geometries: Polygons of the grid."""
        long = shapely.length(geometries) > 2 * self._edge
        geometries = geometries.copy()
        geometries[long] = shapely.segmentize(geometries[long], self._edge)
        placed = shapely.transform(geometries, self._lonlat, interleaved=False)
        west, _, east, _ = shapely.bounds(placed).T
        for index in np.flatnonzero((east - west > 180) | (west < -180) | (east > 180)).tolist():
            placed[index] = shapely.multipolygons(self._cut(placed[index]))
        rounded = shapely.transform(placed, partial(np.round, decimals=self._decimals))
        return np.asarray(shapely.orient_polygons(np.where(shapely.is_valid(rounded), rounded, placed)))

    def _lonlat(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        lon, lat = self._grid.operation.transformer.transform(x, y)
        if self._grid.crs.is_geographic:  # so that polygons stay whole beyond 180 degrees
            lon = lon + 360 * np.round((lonlat(self._grid.crs, x, y)[0] - lon) / 360)
        return lon, lat

    def _cut(self, polygon: Polygon) -> list[Polygon]:
        """Return the parts of a polygon that may cross the date line or lie around a pole."""
        if self._grid.crs.is_geographic:
            return cut_at_date_line(polygon)
        outer, *holes = (shapely.union_all(cut_at_date_line(_filled(ring))) for ring in shapely.get_rings(polygon))
        return list(shapely.get_parts(shapely.difference(outer, shapely.union_all(holes))))


def _filled(ring: LinearRing) -> Polygon:
    """Return what a ring encloses, with longitudes that are continuous across the date line.

    A ring around a pole is closed along the date line to the pole.
    """
    lon, lat = shapely.get_coordinates(ring).T
    lon = np.unwrap(lon, period=360)
    if abs(lon[-1] - lon[0]) > 180:
        pole = np.copysign(90, lat.mean())
        lon, lat = np.append(lon, [lon[-1], lon[0]]), np.append(lat, [pole, pole])
    filled: Polygon = shapely.make_valid(Polygon(np.column_stack([lon, lat])), method="structure")
    return filled


@contextmanager
def gpkg_file(path: Path, grid: Grid, names: Sequence[ClassDef], zones: ZoneNames | None = None) -> Iterator[Write]:
    """Write a GeoPackage: features in the CRS of the map, with the extent of the map and a style for QGIS.

    zones: As for `geojson_file`.
    """
    name_of = {item.value: item.name for item in names}
    path.unlink(missing_ok=True)  # an attempt that was killed may have left it
    package = NewGeoPackage.create(path)
    kinds = {"class": FieldType.integer, "name": FieldType.text}
    kinds |= {"area_ha": FieldType.double, "probability": FieldType.double}
    if zones is not None:
        kinds |= {"zone": FieldType.text, "zone_name": FieldType.text}
    fields = [Field(name, kind) for name, kind in kinds.items()]
    system = spatial_reference(grid.crs)
    layer = package.create_feature_class(_LAYER, system, shape_type=ShapeType.polygon, fields=fields)
    places = ", ".join("?" * (1 + len(kinds)))
    insert = f"INSERT INTO {layer.escaped_name} (SHAPE, {', '.join(kinds)}) VALUES ({places})"
    # otherwise SQLite opens a temporary file, in the folder that TMPDIR named when the process first used SQLite: the
    # sandbox of a job forbids it
    package.connection.execute("PRAGMA temp_store = MEMORY")
    with closing(package.connection) as connection, connection:

        def write(some: Patches) -> None:
            wkb, bounds = shapely.to_wkb(some.geometries, byte_order=1), shapely.bounds(some.geometries).tolist()
            blobs = map(_blob, wkb, bounds, repeat(system.srs_id))
            values = some.values.tolist()
            columns = values, map(name_of.get, values), some.areas_ha.tolist(), _probabilities(some)
            of_zones = [tuple(each.values()) for each in _zone_attributes(some, zones)]
            rows = zip(zip(blobs, *columns, strict=True), of_zones, strict=True)
            connection.executemany(insert, (row + of_zone for row, of_zone in rows))

        yield write
        connection.execute("UPDATE gpkg_contents SET min_x = ?, min_y = ?, max_x = ?, max_y = ?", grid.bounds)
        _add_style(connection, polygons_qml([item for item in names if item.value in traced_values(names)]))
        # two equal predictions would otherwise differ in the time of writing
        connection.execute("UPDATE gpkg_contents SET last_change = ?", (LAST_CHANGE,))


class NewGeoPackage(GeoPackage):
    """A GeoPackage to be made by `create`. fudgeo 1.5 forgets to close the connection by which it makes the tables."""

    @staticmethod
    def _build_geopackage(*args: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = GeoPackage._build_geopackage(*args, **options)
        connection.close()
        return connection


def _add_style(connection: sqlite3.Connection, qml: str) -> None:
    """Add a style that QGIS applies when it opens the layer: a row of the table in which QGIS itself saves styles."""
    connection.execute(_STYLES)
    connection.execute(
        "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName, "
        "styleQML, styleSLD, useAsDefault, description, owner, update_time) "
        "VALUES ('', '', ?, 'SHAPE', ?, ?, '', 1, '', '', ?)",
        (_LAYER, _LAYER, qml, LAST_CHANGE),
    )
    contents = "INSERT INTO gpkg_contents (table_name, data_type, identifier) VALUES ('layer_styles', 'attributes', ?)"
    connection.execute(contents, ("layer_styles",))


def read_gpkg(path: Path) -> Iterator[Patches]:
    """Yield the patches of a GeoPackage that `write_polygons` has written, some thousands at once."""
    columns = "SHAPE, class, area_ha, probability"
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        cursor = connection.execute(f"SELECT {columns} FROM {_LAYER} ORDER BY rowid")
        while rows := cursor.fetchmany(_AT_ONCE):
            shapes, values, areas_ha, probabilities = zip(*rows, strict=True)
            yield Patches(
                geometries=np.asarray(shapely.from_wkb([shape[_HEADER_BYTES:] for shape in shapes]), dtype=object),
                values=np.array(values, np.uint8),
                areas_ha=np.array(areas_ha, np.float64),
                probabilities=np.array([np.nan if each is None else each for each in probabilities], np.float64),
            )


def _blob(wkb: bytes, bounds: Sequence[float], srs_id: int) -> bytes:
    """A geometry as in section 2.1.3 of the GeoPackage specification: a header with an envelope, then WKB.

    wkb: Geometry in little endian. bounds: Left, bottom, right, top. srs_id: Number of the CRS in the file.
    """
    left, bottom, right, top = bounds
    return struct.pack("<2sBBi4d", b"GP", 0, 0b11, srs_id, left, right, bottom, top) + wkb


def spatial_reference(crs: pyproj.CRS) -> SpatialReferenceSystem:
    """A CRS as a GeoPackage names it, with the code of its authority, or as one of our own."""
    authority, _, code = (crs_code(crs) or "").partition(":")
    if not code.isdecimal():  # OGC:CRS84, for instance
        authority, code = "canemap", str(_OWN_SRS)
    return SpatialReferenceSystem(crs.name, authority, int(code), _definition(crs), srs_id=int(code))


def _definition(crs: pyproj.CRS) -> str:
    """The definition as WKT 1, which the specification requires, or as WKT 2 if WKT 1 cannot describe the CRS."""
    try:
        return crs.to_wkt("WKT1_GDAL")
    except CRSError:
        return crs.to_wkt()
