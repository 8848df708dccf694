"""Mutations of zipped Shapefiles: of the files in the zip, of their headers, and of the zip itself."""

import io
import struct
import warnings
import zipfile
from random import Random

from benchmarks.fuzzing.blobs import EDGES, mutate_bytes, number

_CPG = (b"UTF-8", b"GBK", b"936", b"rot13", b"idna", b"\xff\xfe", b"8859" * 5000, b"..", b"utf-7", b"zlib_codec")
_PRJ = (
    b"",
    b"PROJCS[",
    b'GEOGCS["x"]',
    b"PROJCS[" * 3000,
    b"EPSG:32648",
    b"+proj=longlat +init=/etc/passwd",
    b"\0" * 50,
)
_NAMES = (
    "a.shp",
    "A.SHP",
    "b.dbf",
    "../a.shp",
    "/etc/a.shp",
    "a/b.shp",
    "__MACOSX/._a.shp",
    "a.dbf.xml",
    "甘蔗.shp",
    "a\\b.shp",
)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_ROWS = 32  # bytes of the header of a .dbf before its fields


def mutate_shapefile(random: Random, parent: bytes) -> bytes:
    """Return a copy of the zip `parent` with one to three changes of its files; of its bytes if it is no zip."""
    try:
        with zipfile.ZipFile(io.BytesIO(parent)) as archive:
            files = [
                (entry.filename, archive.read(entry)) for entry in archive.infolist()[:20] if entry.file_size < 1 << 20
            ]
    except Exception:  # the parent may be damaged in any way
        return mutate_bytes(random, parent)
    for _ in range(random.randint(1, 3)):
        files = _changed(random, files)
    data = _zipped(random, files)
    return mutate_bytes(random, data) if random.random() < 0.15 else data


def _zipped(random: Random, files: list[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(buffer, "w", random.choice(_METHODS)) as archive:
        for name, data in files:
            archive.writestr(zipfile.ZipInfo(name or "a", (2024, 1, 1, 0, 0, 0)), data, archive.compression)
    zipped = bytearray(buffer.getvalue())
    if random.random() < 0.1:  # what the directory at the end says
        at = zipped.rfind(b"PK\1\2")
        struct.pack_into("<I", zipped, at + random.choice((8, 20, 24, 42)), number(random) % 2**32)
    return bytes(zipped)


def _changed(random: Random, files: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    if not files:
        return [(random.choice(_NAMES), b"")]
    at = random.randrange(len(files))
    name, data = files[at]
    kind = random.random()
    if kind < 0.06:
        return files[:at] + files[at + 1 :]
    if kind < 0.14:
        return [*files, (random.choice(_NAMES), data)]
    if kind < 0.2:
        return [*files[:at], (random.choice(_NAMES), data), *files[at + 1 :]]
    return [*files[:at], (name, _content(random, name, data)), *files[at + 1 :]]


def _content(random: Random, name: str, data: bytes) -> bytes:
    suffix = name.lower()[-4:]
    if suffix == ".cpg":
        return random.choice(_CPG)
    if suffix == ".prj":
        return random.choice(_PRJ) if random.random() < 0.6 else mutate_bytes(random, data)
    if suffix == ".dbf" and len(data) > _ROWS:
        return _dbf(random, data)
    if suffix in (".shp", ".shx") and len(data) > 140:
        return _shp(random, data)
    return mutate_bytes(random, data)


def _dbf(random: Random, data: bytes) -> bytes:
    """Change the number of rows, the lengths, the language, a field, or the mark of a deleted row."""
    child = bytearray(data)
    start, length = struct.unpack_from("<HH", child, 8)
    match random.randrange(6):
        case 0:
            struct.pack_into("<I", child, 4, number(random) % 2**32)
        case 1:
            struct.pack_into("<H", child, random.choice((8, 10)), number(random) % 2**16)
        case 2:
            child[29] = random.randrange(256)
        case 3:
            child[min(_ROWS + random.randrange(64), len(child) - 1)] = random.randrange(256)
        case 4:
            child[min(start + length * random.randrange(3), len(child) - 1)] = random.choice((0x20, 0x2A, 0x1A, 0))
        case _:
            return mutate_bytes(random, data)
    return bytes(child)


def _shp(random: Random, data: bytes) -> bytes:
    """Change the length or type in the header, or the number, length, type, parts or points of a record."""
    child = bytearray(data)
    at = random.choice((24, 28, 32, 100, 104, 108, 112, 144, 148, 152, 156, 160))
    order = ">" if at in (24, 100, 104) else "<"
    if random.random() < 0.2 and len(child) > 170:
        bits = random.choice((float("nan"), float("inf"), -1e38, 1e300, 0.0))
        struct.pack_into("<d", child, 160, bits)
    elif at + 4 <= len(child):
        small = random.choice((0, 1, 3, 5, 8, 11, 13, 15, 25, 31, *EDGES))
        struct.pack_into(order + "I", child, at, small)
    return bytes(child)
