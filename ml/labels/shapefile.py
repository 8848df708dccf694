"""A zipped Shapefile, read by pyshp from memory; nothing is unpacked to disk."""

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
from ml.labels.features import MAX_FILE_BYTES, Feature, FeatureLayer, NoPolygonError, gathered, simple

MAX_ENTRIES = 100
MAX_RATIO = 200  # but of .dbf: twenty wide columns of blanks reach 400, and MAX_FILE_BYTES holds for them, too
_NEEDED = (".shp", ".shx", ".dbf")
_READ = (*_NEEDED, ".prj", ".cpg")


def read_shapefile(path: Path) -> FeatureLayer:
    """The polygons of the one Shapefile in a zip. Text is read by the .cpg, else by what its bytes look like.

    Raises:
        InputRefused: bad_archive, bad_geometry, unknown_crs, too_many_features.
    """
    parts = _unzip(path)
    features, unplaced = gathered(_records(_reader(parts)), _feature)
    return FeatureLayer("shapefile", _crs(parts), features, unplaced)


def _bad(detail: str) -> InputRefused:
    hint = "Zip the .shp, .shx, .dbf, .prj and .cpg of one layer, without folders or passwords."
    return InputRefused(Fault("bad_archive", detail, hint))


def _unzip(path: Path) -> dict[str, bytes]:
    """The parts of the one Shapefile by their suffixes, as far as they are read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {suffix: archive.read(entry) for suffix, entry in _parts(archive).items()}
    except InputRefused:
        raise
    except Exception:  # zipfile raises whatever damaged bytes lead it to
        raise _bad("The zip is damaged, encrypted or packed by an unknown method.") from None


def _parts(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
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
        raise _bad(f"The Shapefile unfolds to more than {MAX_FILE_BYTES:,} bytes.")
    return found


def _check_entry(entry: zipfile.ZipInfo) -> None:
    name = PurePosixPath(entry.filename.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts:
        raise _bad("A name in the zip leads out of it.")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise _bad("The zip holds a symbolic link.")
    if entry.flag_bits & 1:
        raise _bad("The zip is encrypted.")
    if name.suffix.lower() != ".dbf" and entry.file_size > MAX_RATIO * max(entry.compress_size, 1 << 10):
        raise _bad(f"A file in the zip unfolds to {entry.file_size:,} bytes, over {MAX_RATIO} times its size.")


def _reader(parts: dict[str, bytes]) -> shapefile.Reader:
    streams = {suffix[1:]: io.BytesIO(parts[suffix]) for suffix in _NEEDED}
    try:
        return shapefile.Reader(**streams, encoding=text_encoding(parts), encodingErrors="replace")
    except Exception:  # pyshp raises whatever damaged bytes lead it to
        raise _bad("The Shapefile is damaged.") from None


def _records(reader: shapefile.Reader) -> Iterator[shapefile.ShapeRecord]:
    try:
        yield from reader.iterShapeRecords()
    except Exception:  # as above
        raise _bad("The Shapefile is damaged.") from None


def _feature(item: shapefile.ShapeRecord) -> Feature | None:
    if item.shape is None or item.shape.shapeType == shapefile.NULL:
        return None
    attributes = item.record.as_dict() if item.record is not None else {}
    return Feature(_geometry(item.shape), {name: simple(value) for name, value in attributes.items()})


def text_encoding(parts: dict[str, bytes]) -> str:
    """The Python name of the encoding of the attributes: the .cpg's, else UTF-8, GB 2312 or Latin-1 by the bytes.

    In Chinese text high bytes come in pairs; in Latin-1 they hardly do.
    """
    declared = parts.get(".cpg", b"").decode("ascii", "replace").strip()
    for name in (declared, f"cp{declared}", re.sub(r"\D*(8859).*?(\d+)$", r"iso-\1-\2", declared)):
        try:
            return codecs.lookup(name).name
        except LookupError:
            continue
    for name in ("utf-8", "gb2312"):
        try:
            parts[".dbf"][32:].decode(name)
        except UnicodeDecodeError:
            continue
        return "gbk" if name == "gb2312" else name
    return "latin-1"


def _geometry(shape: shapefile.Shape) -> Polygon | MultiPolygon:
    """The rings of a Shapefile polygon: clockwise ones are outlines, the others holes in the smallest around them."""
    if shape.shapeType not in (shapefile.POLYGON, shapefile.POLYGONZ, shapefile.POLYGONM):
        raise NoPolygonError("its geometry is no polygon")
    rings = [_ring(part) for part in np.split(np.array(shape.points, dtype=np.float64), list(shape.parts)[1:])]
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


def _crs(parts: dict[str, bytes]) -> pyproj.CRS | None:
    text = parts.get(".prj", b"").decode("utf-8", "replace").strip()
    return crs_from_wkt(text) if text else None
