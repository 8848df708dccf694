"""The points of a sample as files for labelling: CSV, GeoJSON, KML and GeoPackage, all in degrees of WGS 84.

Unless it is asked for, nothing in them tells which class the map has at a point: neither the class, nor the stratum,
nor the inclusion probability, which differs by stratum. Who sees the map agrees with it too often.
"""

import csv
import io
import json
import struct
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import shapely
from fudgeo.enumeration import FieldType, ShapeType
from fudgeo.geopkg import Field
from pyproj import CRS

from ml.csv_text import plain_cells
from ml.products.polygon_files import LAST_CHANGE, NewGeoPackage, spatial_reference
from ml.sampling.design import DrawnSample, SamplePoint

TO_FILL = {"class": None, "unusable": None}  # what whoever labels fills in
_WGS84 = 4326
_TYPES: dict[type, str] = {bool: FieldType.boolean, int: FieldType.integer, float: FieldType.double}
Rows = Sequence[Mapping[str, Any]]


def point_rows(
    sample: DrawnSample, points: Sequence[SamplePoint], *, map_class: bool, scenes: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """What is told of each point, by name.

    map_class: Whether also what the map says there. scenes: Names of the scenes of a mosaic, in the order of their
    numbers: that of the point's pixel is told.
    """
    names = {item.value: item.name for item in sample.frame.classes}
    inclusion = {stratum.key: stratum.inclusion for stratum in sample.strata}

    def of_map(point: SamplePoint) -> dict[str, Any]:
        known = {"map_class": names[point.map_class], "stratum": point.stratum}
        return known | {"inclusion": inclusion[point.stratum]}

    clustered = ("cluster",) if points and points[0].cluster is not None else ()
    plain = ("id", "lon", "lat", "row", "col", *clustered, "in_training")

    def of_scene(point: SamplePoint) -> dict[str, Any]:
        return {} if scenes is None or point.scene is None else {"scene": scenes[point.scene - 1]}

    return [
        {name: getattr(point, name) for name in plain} | of_scene(point) | (of_map(point) if map_class else {})
        for point in points
    ]


def as_csv(rows: Rows) -> str:
    """A table with empty columns for the answers. Its headings stay English, because it is read again."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [*rows[0], *TO_FILL])
    writer.writeheader()
    for row in rows:
        writer.writerow(dict(zip(row, plain_cells(row.values()), strict=True)))
    return text.getvalue()


def as_geojson(rows: Rows) -> str:
    """A FeatureCollection with a point for each row."""
    features = [
        {
            "type": "Feature",
            "id": row["id"],
            "geometry": {"type": "Point", "coordinates": [row["lon"], row["lat"]]},
            "properties": {**row, **TO_FILL},
        }
        for row in rows
    ]
    return json.dumps({"type": "FeatureCollection", "features": features}, ensure_ascii=False)


def as_kml(rows: Rows, title: str) -> str:
    """Placemarks for Google Earth and Ovital Map. title: Of the document."""
    places = "\n".join(_placemark(row) for row in rows)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<kml xmlns="http://www.opengis.net/kml/2.2"><Document>'
        f"<name>{escape(title)}</name>\n{places}\n</Document></kml>\n"
    )


def _placemark(row: Mapping[str, Any]) -> str:
    told = "".join(
        f'<Data name="{name}"><value>{escape(str(value))}</value></Data>'
        for name, value in row.items()
        if value is not None
    )
    place = f"<Point><coordinates>{row['lon']},{row['lat']}</coordinates></Point>"
    return f"<Placemark><name>{row['id']}</name><ExtendedData>{told}</ExtendedData>{place}</Placemark>"


def write_gpkg(rows: Rows, path: Path) -> None:
    """Write a GeoPackage with one layer of points, `points`, with empty columns for the answers."""
    fields = [Field(name, _type(value)) for name, value in {**rows[0], **TO_FILL}.items()]
    package = NewGeoPackage.create(path)
    reference = spatial_reference(CRS.from_epsg(_WGS84))
    layer = package.create_feature_class("points", reference, shape_type=ShapeType.point, fields=fields)
    columns = ", ".join(f'"{field.name}"' for field in fields)
    insert = f"INSERT INTO {layer.escaped_name} (SHAPE, {columns}) VALUES ({', '.join('?' * (len(fields) + 1))})"
    filled = [(_blob(row), *row.values(), *TO_FILL.values()) for row in rows]
    lon, lat = ([row[name] for row in rows] for name in ("lon", "lat"))
    with closing(package.connection) as connection, connection:
        connection.execute("PRAGMA temp_store = MEMORY")  # a temporary file may lie where writing is forbidden
        connection.executemany(insert, filled)
        connection.execute("UPDATE gpkg_contents SET last_change = ?", (LAST_CHANGE,))
        box = min(lon), min(lat), max(lon), max(lat)
        connection.execute("UPDATE gpkg_contents SET min_x = ?, min_y = ?, max_x = ?, max_y = ?", box)


def _type(value: object) -> str:
    return str(_TYPES.get(type(value), FieldType.text))


def _blob(row: Mapping[str, Any]) -> bytes:
    """A point as in section 2.1.3 of the GeoPackage specification: a header without an envelope, then WKB."""
    wkb: bytes = shapely.to_wkb(shapely.points(row["lon"], row["lat"]), byte_order=1)
    return struct.pack("<2sBBi", b"GP", 0, 1, _WGS84) + wkb
