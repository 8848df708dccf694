"""Small layers of polygons in every format, written for tests."""

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import shapefile
from fudgeo.enumeration import ShapeType
from fudgeo.geometry import Polygon as GeoPackagePolygon
from fudgeo.geopkg import Field, SpatialReferenceSystem
from pyproj import CRS
from shapely.geometry import MultiPolygon, Polygon, box, mapping
from shapely.geometry.polygon import orient

from ml.products.polygon_files import NewGeoPackage

Properties = Mapping[str, Any]
Item = tuple[Polygon | MultiPolygon, Properties]


def square(col: float, row: float, size: float = 10) -> Polygon:
    """Return a square of `size` px on the grid of `make_scene`, EPSG:32648; (col, row) is its upper left corner."""
    left, top = 500_000 + 10 * col, 1_200_000 - 10 * row
    polygon: Polygon = box(left, top - 10 * size, left + 10 * size, top)
    return polygon


def geojson(path: Path, items: Sequence[Item], crs: str | None = "EPSG:32648", **members: Any) -> Path:
    """Write a FeatureCollection with an old `crs` member; `crs=None` leaves the member out."""
    features = [{"type": "Feature", "properties": p, "geometry": mapping(g)} for g, p in items]
    document: dict[str, Any] = {"type": "FeatureCollection", "features": features}
    if crs:
        document["crs"] = {"type": "name", "properties": {"name": crs}}
    path.write_text(json.dumps(document | members, ensure_ascii=False), encoding="utf-8")
    return path


def geopackage(path: Path, items: Sequence[Item], crs: int = 32648, layers: Sequence[str] = ("plots",)) -> Path:
    """Write a GeoPackage in which every layer contains all items; attributes are text."""
    system = SpatialReferenceSystem("a", "EPSG", crs, CRS(crs).to_wkt("WKT1_GDAL"))
    package = NewGeoPackage.create(path.with_suffix(".gpkg"))
    names = list(items[0][1])
    for layer in layers:
        fields = [Field(name, "TEXT") for name in names]
        table = package.create_feature_class(layer, system, shape_type=ShapeType.polygon, fields=fields)
        columns = ", ".join(("SHAPE", *names))
        marks = ", ".join("?" * (len(names) + 1))
        with package.connection as connection:
            for geometry, properties in items:
                shape = GeoPackagePolygon([ring.coords[:] for ring in (geometry.exterior, *geometry.interiors)], crs)
                values = (shape, *properties.values())
                connection.execute(f"INSERT INTO {table.escaped_name} ({columns}) VALUES ({marks})", values)
    package.connection.close()
    return path.with_suffix(".gpkg").rename(path)


def zipped_shapefile(
    path: Path,
    items: Sequence[Item],
    *,
    prj: str | None = "EPSG:32648",
    encoding: str = "utf-8",
    cpg: str | None = None,
    leave_out: str = "",
) -> Path:
    """Write a zipped Shapefile; `leave_out` is the suffix of a file that is missing from the zip."""
    stem = path.with_suffix("")
    writer: Any = shapefile.Writer(str(stem), shapeType=shapefile.POLYGON, encoding=encoding)
    for name in items[0][1]:
        writer.field(name, "C", size=40)
    for geometry, properties in items:
        polygons = geometry.geoms if isinstance(geometry, MultiPolygon) else [geometry]
        clockwise = [orient(polygon, -1) for polygon in polygons]
        writer.poly([list(ring.coords) for polygon in clockwise for ring in (polygon.exterior, *polygon.interiors)])
        writer.record(*properties.values())
    writer.close()
    if prj:
        stem.with_suffix(".prj").write_text(CRS(prj).to_wkt("WKT1_ESRI"))
    if cpg:
        stem.with_suffix(".cpg").write_text(cpg)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(path.parent.glob(f"{stem.name}.*")):
            if file != path and file.suffix != leave_out:
                archive.write(file, file.name)
    return path
