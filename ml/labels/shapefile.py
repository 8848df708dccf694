"""Reader for zipped Shapefiles. It uses pyshp on files in memory; nothing is unpacked to disk."""

import codecs
import io
import re
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import pyproj
import shapefile
import shapely
from shapely.geometry import LinearRing, MultiPolygon, Polygon

from ml.faults import Fault, InputRefused
from ml.geo.crs import crs_from_wkt
from ml.labels.features import MAX_FILE_BYTES, Feature, FeatureLayer, NoPolygonError, read_features, simple_value

MAX_ENTRIES = 100  # files in a zip
MAX_RATIO = 200  # not for .dbf: twenty wide columns of blanks compress 400 times; MAX_FILE_BYTES limits them
_NEEDED = (".shp", ".shx", ".dbf")
_READ = (*_NEEDED, ".prj", ".cpg")


def read_shapefile(path: Path) -> FeatureLayer:
    """Read the polygons of the only Shapefile in a zip.

    The encoding of attributes comes from the .cpg file, or is guessed from the bytes of the .dbf file.

    Raises:
        InputRefused: bad_archive, bad_geometry, unknown_crs, too_many_features.
    """
    files = _unzip(path)
    features, without_geometry = read_features(_records(_reader(files)), _feature)
    return FeatureLayer("shapefile", _crs(files), features, without_geometry)


def _bad(detail: str) -> InputRefused:
    hint = "Zip the .shp, .shx, .dbf, .prj and .cpg of one layer, without folders or passwords."
    return InputRefused(Fault("bad_archive", detail, hint))


def _unzip(path: Path) -> dict[str, bytes]:
    """Return the contents of the files of the only Shapefile that are read, by suffix."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {suffix: archive.read(entry) for suffix, entry in _entries(archive).items()}
    except InputRefused:
        raise
    except Exception:  # zipfile raises exceptions of any type on damaged bytes
        raise _bad("The zip is damaged, encrypted or compressed by an unknown method.") from None


def _entries(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    entries = [entry for entry in archive.infolist() if not entry.is_dir() and "__MACOSX/" not in entry.filename]
    if len(entries) > MAX_ENTRIES:
        raise _bad(f"The zip holds {len(entries)} files.")
    for entry in entries:
        _check_entry(entry)
    if len({entry.filename.lower() for entry in entries}) < len(entries):
        raise _bad("Two files in the zip have the same name.")
    found = {}
    for entry in entries:
        suffix = PurePosixPath(entry.filename).suffix.lower()
        if suffix == ".shp" and ".shp" in found:
            raise _bad("The zip holds several Shapefiles.")
        if suffix in _READ:
            found[suffix] = entry
    if missing := [suffix for suffix in _NEEDED if suffix not in found]:
        raise _bad(f"The zip lacks the {' and the '.join(missing)} of the Shapefile.")
    if sum(entry.file_size for entry in found.values()) > MAX_FILE_BYTES:
        raise _bad(f"The Shapefile has more than {MAX_FILE_BYTES:,} bytes when unpacked.")
    return found


def _check_entry(entry: zipfile.ZipInfo) -> None:
    name = PurePosixPath(entry.filename.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts:
        raise _bad("A file name in the zip points outside the zip.")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise _bad("The zip holds a symbolic link.")
    if entry.flag_bits & 1:
        raise _bad("The zip is encrypted.")
    if name.suffix.lower() != ".dbf" and entry.file_size > MAX_RATIO * max(entry.compress_size, 1 << 10):
        raise _bad(f"A file in the zip unpacks to {entry.file_size:,} bytes, over {MAX_RATIO} times its packed size.")


def _reader(files: dict[str, bytes]) -> shapefile.Reader:
    streams = {suffix[1:]: io.BytesIO(files[suffix]) for suffix in _NEEDED}
    try:
        return shapefile.Reader(**streams, encoding=text_encoding(files), encodingErrors="replace")
    except Exception:  # pyshp raises exceptions of any type on damaged bytes
        raise _bad("The Shapefile is damaged.") from None


def _records(reader: shapefile.Reader) -> Iterator[shapefile.ShapeRecord]:
    try:
        yield from reader.iterShapeRecords()
    except Exception:  # same reason as above
        raise _bad("The Shapefile is damaged.") from None


def _feature(item: shapefile.ShapeRecord) -> Feature | None:
    if item.shape is None or item.shape.shapeType == shapefile.NULL:
        return None
    attributes = item.record.as_dict() if item.record is not None else {}
    return Feature(_geometry(item.shape), {name: simple_value(value) for name, value in attributes.items()})


def text_encoding(files: dict[str, bytes]) -> str:
    """Return the Python name of the encoding of the attributes.

    It is the encoding that the .cpg file names. Otherwise the bytes of the .dbf file decide: UTF-8 if they decode as
    such, GBK if they decode as GB 2312, else Latin-1. In Chinese text, high bytes come in pairs; in Latin-1 text,
    they rarely do.

    files: Contents of the files of a Shapefile, by suffix.
    """
    declared = files.get(".cpg", b"").decode("ascii", "replace").strip()
    for name in (declared, f"cp{declared}", re.sub(r"\D*(8859).*?(\d+)$", r"iso-\1-\2", declared)):
        try:
            return codecs.lookup(name).name
        except LookupError:
            continue
    for name in ("utf-8", "gb2312"):
        try:
            files[".dbf"][32:].decode(name)
        except UnicodeDecodeError:
            continue
        return "gbk" if name == "gb2312" else name
    return "latin-1"


def _geometry(shape: shapefile.Shape) -> Polygon | MultiPolygon:
    """Build a polygon. Clockwise rings are outlines; every other ring is a hole in the smallest outline around it."""
    if shape.shapeType not in (shapefile.POLYGON, shapefile.POLYGONZ, shapefile.POLYGONM):
        raise NoPolygonError("its geometry is not a polygon")
    rings = [_ring(points) for points in np.split(np.array(shape.points, dtype=np.float64), list(shape.parts)[1:])]
    outlines = [Polygon(ring) for ring in rings if not ring.is_ccw] or [Polygon(ring) for ring in rings]
    holes = [ring for ring in rings if ring.is_ccw] if len(outlines) < len(rings) else []
    if len(outlines) == 1:
        return Polygon(outlines[0].exterior, holes)
    inside: list[list[LinearRing]] = [[] for _ in outlines]
    tree = shapely.STRtree(outlines)
    for hole in holes:
        filled = Polygon(hole)
        around = tree.query(filled.representative_point(), predicate="within")
        if sizes := [(outlines[number].area, number) for number in around if outlines[number].area >= filled.area]:
            inside[min(sizes)[1]].append(hole)
    return MultiPolygon([Polygon(outline.exterior, own) for outline, own in zip(outlines, inside, strict=True)])


def _ring(points: np.ndarray) -> LinearRing:
    if len(points) < 4 or not np.isfinite(points).all():
        raise NoPolygonError("a ring needs at least four finite positions")
    return LinearRing(points[:, :2])


def _crs(files: dict[str, bytes]) -> pyproj.CRS | None:
    text = files.get(".prj", b"").decode("utf-8", "replace").strip()
    return crs_from_wkt(text) if text else None
