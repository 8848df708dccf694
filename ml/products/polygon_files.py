"""Write the polygons of a class map to files: GeoJSON for the web and GeoPackage for a GIS."""

import json
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import repeat
from pathlib import Path

import numpy as np
import pyproj
import shapely
from fudgeo.enumeration import FieldType, ShapeType
from fudgeo.geopkg import Field, GeoPackage, SpatialReferenceSystem
from pyproj.exceptions import CRSError

from ml.contract import ClassDef
from ml.geo.crs import to_wgs84
from ml.geo.grid import grid_of
from ml.geo.raster import open_raster
from ml.products.polygons import Patches, patches, traced_values

DECIMALS = 7  # of a degree, which is about a centimetre
_LAYER = "classes"
_LAST_CHANGE = "2000-01-01T00:00:00.000Z"
_OWN_SRS = 100_000  # for a CRS that no authority has numbered

Write = Callable[[Patches], None]


def write_polygons(
    classes: Path, names: Sequence[ClassDef], geojson: Path, geopackage: Path, *, min_area_ha: float
) -> int:
    """Trace the patches of a class map, and write them to both files.

    Of two classes the patches of class 1 are traced, of more classes those of all.

    classes: Path of the class map. names: All classes of the map. min_area_ha: Patches smaller than this are left out.

    Returns:
        The number of patches that were written.
    """
    with open_raster(classes) as dataset:
        crs = grid_of(dataset).crs
    name_of = {item.value: item.name for item in names}
    number = 0
    with _geojson(geojson, crs, name_of) as to_geojson, _gpkg(geopackage, crs, name_of) as to_geopackage:
        for some in patches(classes, traced_values(names)):
            kept = some.of_at_least(min_area_ha)
            number += len(kept.values)
            to_geojson(kept)
            to_geopackage(kept)
    return number


@contextmanager
def _geojson(path: Path, crs: pyproj.CRS, name_of: Mapping[int, str]) -> Iterator[Write]:
    """Write GeoJSON: features in degrees of WGS 84, one on each line, rings by the right-hand rule (RFC 7946)."""
    to_degrees = to_wgs84(crs)
    separator = "\n"
    with path.open("w", encoding="utf-8") as file:

        def write(some: Patches) -> None:
            nonlocal separator
            degrees = shapely.transform(some.geometries, to_degrees.transform, interleaved=False)
            outlines = shapely.orient_polygons(shapely.transform(degrees, partial(np.round, decimals=DECIMALS)))
            columns = some.values.tolist(), some.areas_ha.round(6).tolist(), shapely.to_geojson(outlines)
            for value, area_ha, outline in zip(*columns, strict=True):
                known = json.dumps({"class": value, "name": name_of[value], "area_ha": area_ha}, ensure_ascii=False)
                file.write(f'{separator}{{"type": "Feature", "properties": {known}, "geometry": {outline}}}')
                separator = ",\n"

        file.write('{"type": "FeatureCollection", "features": [')
        yield write
        file.write("\n]}\n")


@contextmanager
def _gpkg(path: Path, crs: pyproj.CRS, name_of: Mapping[int, str]) -> Iterator[Write]:
    """Write a GeoPackage: features in the CRS of the map."""
    path.unlink(missing_ok=True)  # an attempt that was killed may have left it
    package = GeoPackage.create(path)
    fields = (Field("class", FieldType.integer), Field("name", FieldType.text), Field("area_ha", FieldType.double))
    system = _spatial_reference(crs)
    layer = package.create_feature_class(_LAYER, system, shape_type=ShapeType.polygon, fields=fields)
    insert = f"INSERT INTO {layer.escaped_name} (SHAPE, class, name, area_ha) VALUES (?, ?, ?, ?)"
    with package.connection as connection:

        def write(some: Patches) -> None:
            wkb, bounds = shapely.to_wkb(some.geometries, byte_order=1), shapely.bounds(some.geometries).tolist()
            blobs = map(_blob, wkb, bounds, repeat(system.srs_id))
            values = some.values.tolist()
            rows = zip(blobs, values, map(name_of.get, values), some.areas_ha.tolist(), strict=True)
            connection.executemany(insert, rows)

        yield write
        # two equal predictions would otherwise differ in the time of writing
        connection.execute("UPDATE gpkg_contents SET last_change = ?", (_LAST_CHANGE,))
    package.connection.close()


def _blob(wkb: bytes, bounds: Sequence[float], srs_id: int) -> bytes:
    """A geometry as in section 2.1.3 of the GeoPackage specification: a header with an envelope, then WKB.

    wkb: Geometry in little endian. bounds: Left, bottom, right, top. srs_id: Number of the CRS in the file.
    """
    left, bottom, right, top = bounds
    return struct.pack("<2sBBi4d", b"GP", 0, 0b11, srs_id, left, right, bottom, top) + wkb


def _spatial_reference(crs: pyproj.CRS) -> SpatialReferenceSystem:
    authority, code = crs.to_authority() or ("", "")
    if not code.isdecimal():  # OGC:CRS84, for instance
        authority, code = "canemap", str(_OWN_SRS)
    return SpatialReferenceSystem(crs.name, authority, int(code), _definition(crs), srs_id=int(code))


def _definition(crs: pyproj.CRS) -> str:
    """The definition as WKT 1, which the specification requires, or as WKT 2 if WKT 1 cannot describe the CRS."""
    try:
        return crs.to_wkt("WKT1_GDAL")
    except CRSError:
        return crs.to_wkt()
