"""Small layers of polygons in every format, made on the spot."""

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import shapefile
from fudgeo.enumeration import ShapeType
from fudgeo.geometry import Polygon as GeoPackagePolygon
from fudgeo.geopkg import Field, GeoPackage, SpatialReferenceSystem
from pyproj import CRS
from shapely.geometry import MultiPolygon, Polygon, box, mapping
from shapely.geometry.polygon import orient

Properties = Mapping[str, Any]
Item = tuple[Polygon | MultiPolygon, Properties]


def square(col: float, row: float, size: float = 10) -> Polygon:
    """A square of `size` px on the grid of `make_scene`, in EPSG:32648; its corner at (col, row)."""
    left, top = 500_000 + 10 * col, 1_200_000 - 10 * row
    polygon: Polygon = box(left, top - 10 * size, left + 10 * size, top)
    return polygon


def geojson(path: Path, items: Sequence[Item], crs: str | None = "EPSG:32648", **members: Any) -> Path:
    features = [{"type": "Feature", "properties": p, "geometry": mapping(g)} for g, p in items]
    document: dict[str, Any] = {"type": "FeatureCollection", "features": features}
    if crs:
        document["crs"] = {"type": "name", "properties": {"name": crs}}
    path.write_text(json.dumps(document | members, ensure_ascii=False), encoding="utf-8")
    return path


def geopackage(path: Path, items: Sequence[Item], crs: int = 32648, layers: Sequence[str] = ("plots",)) -> Path:
    """Every layer holds all items; attributes are text."""
    system = SpatialReferenceSystem("a", "EPSG", crs, CRS(crs).to_wkt("WKT1_GDAL"))
    package = GeoPackage.create(path.with_suffix(".gpkg"))
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
    stem = path.with_suffix("")
    writer: Any = shapefile.Writer(str(stem), shapeType=shapefile.POLYGON, encoding=encoding)
    for name in items[0][1]:
        writer.field(name, "C", size=40)
    for geometry, properties in items:
        parts = geometry.geoms if isinstance(geometry, MultiPolygon) else [geometry]
        clockwise = [orient(part, -1) for part in parts]
        writer.poly([list(ring.coords) for part in clockwise for ring in (part.exterior, *part.interiors)])
        writer.record(*properties.values())
    writer.close()
    if prj:
        stem.with_suffix(".prj").write_text(CRS(prj).to_wkt("WKT1_ESRI"))
    if cpg:
        stem.with_suffix(".cpg").write_text(cpg)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in sorted(path.parent.glob(f"{stem.name}.*")):
            if part != path and part.suffix != leave_out:
                archive.write(part, part.name)
    return path
