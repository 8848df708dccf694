"""From a class map to polygons: what was mapped, as GeoJSON for the web and GeoPackage for a GIS.

The whole map is traced at once, so no polygon is cut at a window; GDAL reads it row by row, so memory grows with the
polygons and not with the map.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyproj
import rasterio
import shapely
from fudgeo.enumeration import FieldType, ShapeType
from fudgeo.geometry import Polygon as GeoPackagePolygon
from fudgeo.geopkg import Field, GeoPackage, SpatialReferenceSystem
from pyproj.exceptions import CRSError
from rasterio.features import shapes
from rasterio.windows import Window as RasterioWindow
from shapely.geometry import Polygon, shape
from shapely.geometry.polygon import orient

from ml.contract import ClassDef
from ml.geo.areas import HECTARE_M2
from ml.geo.crs import to_wgs84, transformer
from ml.geo.grid import grid_of
from ml.geo.raster import open_raster
from ml.geo.windows import blocks, ceil_to
from ml.geo.written import written

DECIMALS = 7  # of a degree: a centimetre
_BLOCK_PX = 2048
_LAYER = "classes"
_LAST_CHANGE = "2000-01-01T00:00:00.000Z"
_OWN_SRS = 100_000  # for a CRS that no authority has numbered


@dataclass(frozen=True)
class MapPolygon:
    """One patch of a class. geometry: in the CRS of the map. area_ha: on the ground."""

    geometry: Polygon
    value: int
    name: str
    area_ha: float


Write = Callable[[MapPolygon], None]


def write_polygons(
    classes: Path, names: Sequence[ClassDef], geojson: Path, geopackage: Path, *, min_area_ha: float
) -> int:
    """Trace every patch of a class above 0 in the map `classes`; how many were written.

    Patches smaller than `min_area_ha` are left out. Pixels that touch at a corner only are two patches.
    """
    with open_raster(classes) as dataset:
        crs = grid_of(dataset).crs
    number = 0
    with ExitStack() as stack:
        writers = [stack.enter_context(open_(path, crs)) for open_, path in ((_geojson, geojson), (_gpkg, geopackage))]
        for polygon in map_polygons(classes, names):
            if polygon.area_ha >= min_area_ha:
                number += 1
                for write in writers:
                    write(polygon)
    return number


def map_polygons(classes: Path, names: Sequence[ClassDef]) -> Iterator[MapPolygon]:
    """Every patch of a class above 0, in no order."""
    name_of = {item.value: item.name for item in names}
    traced = classes.with_name(classes.name + ".traced")
    try:
        _mask_background(classes, traced)
        with open_raster(traced) as dataset:
            measure = _measure(grid_of(dataset).crs)
            bands = rasterio.band(dataset, 1), rasterio.band(dataset, 2)
            for geometry, value in shapes(bands[0], mask=bands[1], connectivity=4, transform=dataset.transform):
                polygon = shape(geometry)
                yield MapPolygon(polygon, int(value), name_of.get(int(value), str(int(value))), measure(polygon))
    finally:
        traced.unlink(missing_ok=True)


def _measure(crs: pyproj.CRS) -> Callable[[Polygon], float]:
    """What gives the geodesic area of a polygon on the ellipsoid of `crs`, in hectares."""
    geod, to_lonlat = crs.get_geod(), transformer(crs, crs.geodetic_crs)
    if geod is None:
        raise ValueError(f"{crs.name} has no ellipsoid")  # `ml.geo.crs.usable_crs` refuses such

    def area_ha(polygon: Polygon) -> float:
        return float(abs(geod.geometry_area_perimeter(_transformed(polygon, to_lonlat))[0]) / HECTARE_M2)

    return area_ha


def _mask_background(classes: Path, out: Path) -> None:
    """Write the map with a second band that is 1 where there is something to trace: GDAL reads a mask from a band."""
    with open_raster(classes) as source:
        profile = {**source.profile, "driver": "GTiff", "count": 2, "nodata": None}
        most_bytes = 4 * ceil_to(source.height, _BLOCK_PX) * ceil_to(source.width, _BLOCK_PX)
        with written(out, most_bytes), rasterio.open(out, "w", **profile) as file:
            for window in blocks(source.height, source.width, block_px=_BLOCK_PX):
                place = RasterioWindow(window.col, window.row, window.cols, window.rows)
                values = source.read(1, window=place)
                mapped = (values > 0) & (values != source.nodata)
                file.write(np.stack([values, mapped.astype(np.uint8)]), window=place)


def _transformed(polygon: Polygon, transformer: pyproj.Transformer) -> Polygon:
    moved: Polygon = shapely.transform(polygon, lambda points: np.column_stack(transformer.transform(*points.T)))
    return moved


@contextmanager
def _geojson(path: Path, crs: pyproj.CRS) -> Iterator[Write]:
    """Features in degrees of WGS 84, rings by the right-hand rule (RFC 7946), one a line."""
    to_degrees = to_wgs84(crs)
    with path.open("w", encoding="utf-8") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        separator = "\n"

        def write(polygon: MapPolygon) -> None:
            nonlocal separator
            outline = orient(
                shapely.transform(_transformed(polygon.geometry, to_degrees), lambda xy: xy.round(DECIMALS))
            )
            properties = {"class": polygon.value, "name": polygon.name, "area_ha": round(polygon.area_ha, 6)}
            feature = {"type": "Feature", "properties": properties, "geometry": shapely.geometry.mapping(outline)}
            file.write(separator + json.dumps(feature, ensure_ascii=False))
            separator = ",\n"

        yield write
        file.write("\n]}\n")


@contextmanager
def _gpkg(path: Path, crs: pyproj.CRS) -> Iterator[Write]:
    """Features in the CRS of the map."""
    path.unlink(missing_ok=True)  # of an attempt that was killed
    package = GeoPackage.create(path)
    fields = (Field("class", FieldType.integer), Field("name", FieldType.text), Field("area_ha", FieldType.double))
    system = _spatial_reference(crs)
    layer = package.create_feature_class(_LAYER, system, shape_type=ShapeType.polygon, fields=fields)
    insert = f"INSERT INTO {layer.escaped_name} (SHAPE, class, name, area_ha) VALUES (?, ?, ?, ?)"
    with package.connection as connection:

        def write(polygon: MapPolygon) -> None:
            rings = [ring.coords[:] for ring in (polygon.geometry.exterior, *polygon.geometry.interiors)]
            geometry = GeoPackagePolygon(rings, system.srs_id)
            connection.execute(insert, (geometry, polygon.value, polygon.name, polygon.area_ha))

        yield write
        # the time of writing would be the one thing in which two equal predictions differ
        connection.execute("UPDATE gpkg_contents SET last_change = ?", (_LAST_CHANGE,))
    package.connection.close()


def _spatial_reference(crs: pyproj.CRS) -> SpatialReferenceSystem:
    authority, code = crs.to_authority() or ("", "")
    if not code.isdecimal():  # OGC:CRS84, for instance
        authority, code = "canemap", str(_OWN_SRS)
    return SpatialReferenceSystem(crs.name, authority, int(code), _definition(crs), srs_id=int(code))


def _definition(crs: pyproj.CRS) -> str:
    """WKT 1, as the specification wants it; WKT 2 where that cannot say it."""
    try:
        return crs.to_wkt("WKT1_GDAL")
    except CRSError:
        return crs.to_wkt()
