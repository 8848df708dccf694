"""Reader for zipped Shapefiles."""

from collections.abc import Iterator
from itertools import compress
from pathlib import Path

import pyproj
from shapely.geometry import MultiPolygon, Polygon

from ml.faults import Fault, InputRefused, Note
from ml.geo.crs_codes import crs_of_file
from ml.labels.features import Feature, FeatureLayer, Row, TextEncoding, read_features, usable_crs_of
from ml.labels.formats.dbf import BadTableError, Table, read_table, record_count
from ml.labels.formats.shapefile_parts import read_parts
from ml.labels.formats.shp import BadShapesError, polygon_from_record, read_records
from ml.labels.formats.text_encoding import MAX_CPG_BYTES, named_encoding

_Record = tuple[bytes, Row]


def read_shapefile(path: Path, layer: str | None = None) -> FeatureLayer:
    """Read the polygons of a Shapefile in a zip.

    layer: Name of the Shapefile in the zip, which may be omitted if there is one only.

    Raises:
        InputRefused: bad_archive, unknown_layer, bad_geometry, too_many_features.
    """
    parts = read_parts(path, layer)
    shapes, cpg = _Shapes(), parts.files.get(".cpg", b"")
    if len(cpg) > MAX_CPG_BYTES:
        raise _bad(f"The .cpg file has {len(cpg):,} bytes, more than the name of an encoding.")
    try:
        records, rows = list(read_records(parts.files[".shp"], parts.files[".shx"])), record_count(parts.files[".dbf"])
        if len(records) != rows:
            raise _bad(f"The Shapefile has {len(records):,} shapes but {rows:,} rows, so that they cannot be matched.")
        table = read_table(parts.files[".dbf"], cpg)
    except (BadTableError, BadShapesError) as damage:
        raise _bad(f"The Shapefile is damaged: {damage}.") from None
    features, without_geometry = read_features(_kept(records, table), shapes.feature)
    crs, refused = usable_crs_of(lambda: _crs(parts.files.get(".prj", b"")))
    notes = (*parts.notes, *_deleted(table), *_guessed(table.encoding, cpg), *table.notes, *shapes.notes())
    return FeatureLayer(
        "shapefile",
        crs,
        features,
        without_geometry,
        name=parts.name,
        encoding=table.encoding,
        notes=notes,
        crs_refused=refused,
    )


def _bad(detail: str) -> InputRefused:
    hint = "Export the layer again, and zip all of its files: ogr2ogr new.shp old.shp"
    return InputRefused(Fault("bad_archive", detail, hint))


class _Shapes:
    """Reads features, and counts those whose rings wind the wrong way."""

    def __init__(self) -> None:
        self._wrong_way = 0

    def feature(self, item: _Record) -> Feature | None:
        record, attributes = item
        geometry: Polygon | MultiPolygon | None
        geometry, wrong_way = polygon_from_record(record)
        self._wrong_way += wrong_way
        return None if geometry is None else Feature(geometry, attributes)

    def notes(self) -> Iterator[Note]:
        if self._wrong_way:
            detail = (
                f"The outlines of {self._wrong_way} features run counter-clockwise, which a Shapefile keeps for holes."
            )
            yield Note(
                code="ring_order", detail=detail, hint="They are read as outlines, because they lie in no other."
            )


def _kept(records: list[bytes], table: Table) -> Iterator[_Record]:
    """Yield the shapes and the attributes of the records that are not deleted."""
    pairs = zip(records, table.rows, strict=True)
    return ((record, Row(table.positions, row)) for record, row in compress(pairs, ~table.deleted))


def _deleted(table: Table) -> Iterator[Note]:
    if table.deleted.any():
        detail = f"{int(table.deleted.sum())} rows are marked as deleted. They are left out with their shapes."
        yield Note(code="deleted_rows", detail=detail)


def _guessed(encoding: TextEncoding, cpg: bytes) -> Iterator[Note]:
    if cpg and named_encoding(cpg) is None:
        yield Note(code="unknown_encoding", detail="The .cpg file names no known encoding, and is not used.")
    if encoding.found_by == "text" and encoding.name != "utf-8":
        detail = f"No file names the encoding of the text. By its bytes it is {encoding.name}."
        yield Note(code="guessed_encoding", detail=detail, hint="Add a .cpg file that names the encoding.")


def _crs(prj: bytes) -> pyproj.CRS | None:
    text = prj.decode("utf-8-sig", "replace").strip()
    return crs_of_file(text) if text else None
