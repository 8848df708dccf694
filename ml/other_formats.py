"""Recognises files that are sent by mistake, to say what they are and how to make of them what is wanted."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Group = Literal["part", "vector", "raster", "picture", "archive", "document"]
START_BYTES = 4096
GEOJSON, TOPOJSON, ESRI_JSON = "a GeoJSON", "a TopoJSON", "a JSON of Esri's"
JSONS = (GEOJSON, TOPOJSON, ESRI_JSON)  # which only the parsed document tells apart for certain
ZIP = "a zip archive"
ZIP_STARTS = (b"PK\3\4", b"PK\5\6")  # the second of an empty one
_SHAPEFILE = "Zip the .shp, .shx, .dbf, .prj and .cpg of the layer together, and send the zip."
_GEOPACKAGE = (
    "Export the layer as GeoPackage: in QGIS by Export > Save Features As, in a terminal by ogr2ogr labels.gpkg FILE."
)
_AS_LABELS: dict[Group, str] = {
    "part": _SHAPEFILE,
    "vector": _GEOPACKAGE,
    "raster": "Convert a mask to GeoTIFF: gdal_translate FILE mask.tif",
    "picture": "A picture has no place on the Earth. Send the layer from which it was drawn, or a mask as GeoTIFF.",
    "archive": "Unpack it. Send a GeoPackage or GeoJSON as it is, and the files of a Shapefile as a zip.",
    "document": "Send the layer itself: a GeoPackage, GeoJSON, a zipped Shapefile, or a mask as GeoTIFF.",
}
_AS_SCENE: dict[Group, str] = {
    "part": f"A scene is a GeoTIFF. For labels: {_SHAPEFILE} Its address is /v1/labels/NAME.",
    "vector": "A scene is a GeoTIFF. Send labels to /v1/labels/NAME, as GeoPackage, GeoJSON or a zipped Shapefile.",
    "raster": "Convert it to GeoTIFF: gdal_translate FILE scene.tif",
    "picture": "Send the GeoTIFF from which the picture was made: a picture has lost its place on the Earth.",
    "archive": "Unpack it, and send the .tif that it holds.",
    "document": "Send a GeoTIFF.",
}
_STARTS: tuple[tuple[bytes, str, Group], ...] = (
    (b"\0\0\x27\x0a", "a .shp without the other files of its Shapefile", "part"),
    (b"PROJCS[", "a .prj without the other files of its Shapefile", "part"),
    (b"GEOGCS[", "a .prj without the other files of its Shapefile", "part"),
    (b"fgb\x03", "a FlatGeobuf", "vector"),
    (b"PAR1", "a Parquet file", "vector"),
    (b"SQLite format 3\0", "a GeoPackage or another SQLite database", "vector"),
    (b"ARROW1", "an Arrow file", "vector"),
    (b"PMTiles", "a PMTiles archive of map tiles", "vector"),
    (b"# @VGMT", "a GMT vector file", "vector"),
    (b"EXP  ", "an ArcInfo export (.e00)", "vector"),
    (b"AutoCAD Binary DXF", "a DXF drawing", "vector"),
    (b"\x08\x09\xfe", "a MicroStation drawing (.dgn)", "vector"),
    (b"\xc8\x09\xfe", "a MicroStation drawing (.dgn)", "vector"),
    (b"!table", "a MapInfo .tab without the other files of its table", "vector"),
    (b"AC10", "an AutoCAD drawing", "vector"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 image", "raster"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image", "raster"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 or netCDF file", "raster"),
    (b"\x0e\x03\x13\x01", "an HDF4 file", "raster"),
    (b"CDF\1", "a netCDF file", "raster"),
    (b"CDF\2", "a netCDF file", "raster"),
    (b"CDF\5", "a netCDF file", "raster"),
    (b"PCIDSK", "a PCIDSK image", "raster"),
    (b"GRIB", "a GRIB file", "raster"),
    (b"NITF", "a NITF image", "raster"),
    (b"msid", "a MrSID image", "raster"),
    (b"SIMPLE  =", "a FITS image", "raster"),
    (b"ENVI\n", "the header of an ENVI image, without its pixels", "raster"),
    (b"ENVI\r\n", "the header of an ENVI image, without its pixels", "raster"),
    (b"EHFA_HEADER_TAG", "an ERDAS Imagine image", "raster"),
    (b"\x89PNG", "a PNG picture", "picture"),
    (b"\xff\xd8\xff", "a JPEG picture", "picture"),
    (b"GIF8", "a GIF picture", "picture"),
    (b"Rar!", "a RAR archive", "archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "archive"),
    (b"\x1f\x8b", "a gzip archive", "archive"),
    (b"BZh", "a bzip2 archive", "archive"),
    (b"\xfd7zXZ\0", "an xz archive", "archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive", "archive"),
    (b"%PDF", "a PDF document", "document"),
    (b"\xd0\xcf\x11\xe0", "an old Office document (.xls or .doc) or a MicroStation drawing (.dgn)", "document"),
)
_IN_A_ZIP: tuple[tuple[bytes, str, Group], ...] = (
    (b"[Content_Types].xml", "an Office document (.xlsx or .docx)", "document"),
    (b"mimetypeapplication/vnd.oasis", "an OpenDocument file (.ods or .odt)", "document"),
    (b".kml", "a KMZ, which is a zipped KML", "vector"),
    (b".qgs", "a QGIS project", "document"),
    (b".gdbtable", "a zipped file geodatabase", "vector"),
)
_IN_XML: tuple[tuple[bytes, str, Group], ...] = (
    (b"<kml", "a KML", "vector"),
    (b"<gpx", "a GPX", "vector"),
    (b"<jcsdatafile", "an OpenJUMP layer (.jml)", "vector"),
    (b"<xs:schema", "an XML schema, which holds no features", "document"),
    (b"<xsd:schema", "an XML schema, which holds no features", "document"),
    (b"<schema", "an XML schema, which holds no features", "document"),
    (b"opengis.net/gml", "a GML", "vector"),
    (b"<mapml", "a MapML", "vector"),
    (b"<rss", "a GeoRSS or another feed", "vector"),
    (b"<feed", "a GeoRSS or another feed", "vector"),
    (b"<svg", "an SVG picture", "picture"),
    (b"<qlr", "a QGIS layer definition, which holds no features", "document"),
    (b"<vrtdataset", "a VRT, which holds no pixels", "raster"),
    (b"<qgis", "a QGIS project or style", "document"),
    (b"<html", "a web page", "document"),
    (b"<!doctype html", "a web page", "document"),
    (b"<", "an XML document", "document"),
)
# texts of other formats that begin with no fixed bytes
_IN_TEXT: tuple[tuple[re.Pattern[bytes], str, Group], ...] = (
    (re.compile(rb"(999\r?\n.*\r?\n\s*)*0\r?\nsection\r?\n"), "a DXF drawing", "vector"),
    (re.compile(rb"version\s+\d+\s*\r?\ncharset"), "a MapInfo .mif without its .mid", "vector"),
    (re.compile(rb"ncols\s+\d+\s*\r?\nnrows\s"), "an ASCII grid", "raster"),
    (re.compile(rb"(srid=\d+;)?(multi)?polygon\s*(z|m|zm)?\s*\(\("), "a text of WKT", "vector"),
    (
        re.compile(rb"(--|set |create |insert |begin;)[^{\[]*(insert|create|copy)\s", re.DOTALL),
        "a text of SQL",
        "vector",
    ),
    (re.compile(rb"\{.*\"type\"\s*:\s*\"topology\"", re.DOTALL), TOPOJSON, "vector"),
    (re.compile(rb"\{.*\"(geometrytype|esrigeometrytype|rings)\"\s*:", re.DOTALL), ESRI_JSON, "vector"),
    (re.compile(rb"\x1e?\{.*\"type\"", re.DOTALL), GEOJSON, "vector"),
    (
        re.compile(rb"[^{\[\0-\x08\n]*[^{\[\0-\x08\n,;\t|]+[,;\t|][^{\[\0-\x08\n]*\n"),
        "a table of text (CSV)",
        "document",
    ),
)


@dataclass(frozen=True)
class OtherFormat:
    """A format that is not read. name: With its article, as the end of a sentence."""

    name: str
    group: Group

    @property
    def detail(self) -> str:
        """What is wrong, as a sentence."""
        return f"The file is {self.name}."

    @property
    def as_scene(self) -> str:
        """How to make a scene of the file."""
        return _AS_SCENE[self.group]

    @property
    def as_labels(self) -> str:
        """How to make a layer of labels of the file."""
        return _AS_LABELS[self.group]


def other_format(start: bytes) -> OtherFormat | None:
    """Return the format of a file that a reader does not take; None if it is not known.

    start: The first `START_BYTES` of the file.
    """
    return next((OtherFormat(name, group) for name, group in _matches(start)), None)


def other_format_of(path: Path) -> OtherFormat | None:
    """Return the format of the file `path`, as `other_format` does."""
    with path.open("rb") as file:
        return other_format(file.read(START_BYTES))


def _matches(start: bytes) -> Iterator[tuple[str, Group]]:
    yield from ((name, group) for magic, name, group in _STARTS if start.startswith(magic))
    if start.startswith(ZIP_STARTS):
        yield from ((name, group) for sign, name, group in _IN_A_ZIP if sign in start)
        yield ZIP, "archive"
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(b"<"):
        yield from ((name, group) for sign, name, group in _IN_XML if sign in text)
    yield from ((name, group) for pattern, name, group in _IN_TEXT if pattern.match(text))
    if start.startswith(b"BM") and start[6:10] == bytes(4):
        yield "a BMP picture", "picture"
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        yield "a WebP picture", "picture"
    if start[257:262] == b"ustar":
        yield "a tar archive", "archive"
    if _is_dbf(start):
        yield "a .dbf without the other files of its Shapefile", "part"


def _is_dbf(start: bytes) -> bool:
    """Whether a file begins like a table of dBase: its version, a date, and a header of 32 bytes for each column."""
    if len(start) < 32 or start[0] not in (0x03, 0x30, 0x83, 0x8B):
        return False
    header_bytes = int.from_bytes(start[8:10], "little")
    return 1 <= start[2] <= 12 and 1 <= start[3] <= 31 and header_bytes % 32 in (1, 2, 8) and header_bytes > 32
