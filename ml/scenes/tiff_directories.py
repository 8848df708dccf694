"""Reads the directories of a TIFF or BigTIFF in pure Python. It reads no pixels, and checks every number it uses."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ml.faults import Fault, InputRefused

# Tags (TIFF 6.0, GDAL and GeoTIFF), with the names of the specifications.
NEW_SUBFILE_TYPE, IMAGE_WIDTH, IMAGE_LENGTH, BITS_PER_SAMPLE, COMPRESSION = 254, 256, 257, 258, 259
STRIP_OFFSETS, SAMPLES_PER_PIXEL, ROWS_PER_STRIP, STRIP_BYTE_COUNTS, PLANAR_CONFIGURATION = 273, 277, 278, 279, 284
PREDICTOR, TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_BYTE_COUNTS, SAMPLE_FORMAT = 317, 322, 323, 324, 325, 339
GDAL_METADATA, GDAL_NODATA, RPC_COEFFICIENTS = 42112, 42113, 50844

# Field types, by number: NumPy types of integers and text, which are read here, and the sizes of the other types.
_NUMPY_TYPES = {1: "u1", 2: "u1", 3: "u2", 4: "u4", 6: "i1", 7: "u1", 8: "i2", 9: "i4", 13: "u4", 16: "u8", 17: "i8"}
_NUMPY_TYPES |= {18: "u8"}
_SIZES = {5: 8, 10: 8, 11: 4, 12: 8}
MAX_ENTRIES = 4096  # entries in a directory
MAX_DIRECTORIES = 256
MAX_VALUE_BYTES = 64 << 20


def corrupt(detail: str) -> InputRefused:
    """Return the exception for a file with an impossible structure."""
    return InputRefused(Fault("corrupt_tiff", detail, "The file is damaged or incomplete. Export it or send it again."))


@dataclass(frozen=True)
class Directory:
    """One image file directory of a TIFF. The values of a tag are read only when they are requested.

    file: File that is open for reading.
    size: Size of the file in bytes.
    order: Byte order as in `struct`, "<" or ">".
    entries: Type, count and byte offset of the values of each tag.
    """

    file: BinaryIO
    size: int
    order: str
    entries: dict[int, tuple[int, int, int]]

    def array(self, tag: int) -> np.ndarray:
        """Return all values of a tag with integers or text; empty if the tag is absent.

        Raises:
            InputRefused: corrupt_tiff if the values have another type, exceed 64 MiB or lie outside the file.
        """
        if tag not in self.entries:
            return np.empty(0, dtype=np.uint8)
        kind, count, offset = self.entries[tag]
        if kind not in _NUMPY_TYPES:
            raise corrupt(f"Tag {tag} has values of type {kind}.")
        dtype = np.dtype(self.order + _NUMPY_TYPES[kind])
        length = count * dtype.itemsize
        if length > MAX_VALUE_BYTES:
            raise corrupt(f"Tag {tag} declares {count} values.")
        return np.frombuffer(_read(self.file, offset, length, self.size), dtype)

    def number(self, tag: int, default: int) -> int:
        """Return the first value of a tag, or `default` if the tag is absent."""
        values = self.array(tag)
        return int(values[0]) if len(values) else default

    def text(self, tag: int) -> str:
        """Return the value of an ASCII tag up to its first NUL, or "" if the tag is absent."""
        return self.array(tag).tobytes().split(b"\0")[0].decode("utf-8", "replace")


@dataclass(frozen=True)
class _Layout:
    """Formats that differ between TIFF and BigTIFF, for `struct`.

    order: Byte order. count: Number of entries. entry: Tag, type and count of an entry. offset: Byte offset.
    """

    order: str
    count: str
    entry: str
    offset: str


def directories(file: BinaryIO, size: int) -> Iterator[Directory]:
    """Yield the directories of the main chain, in order.

    file: File that is open for reading, at its start.
    size: Size of the file in bytes.

    Raises:
        InputRefused: not_a_tiff; corrupt_tiff, also if the chain returns to an earlier directory; multi_page if there
            are over 256 directories.
    """
    layout, offset = _header(file, size)
    visited: set[int] = set()
    while offset:
        if offset in visited:
            raise corrupt(f"The chain of directories returns to byte {offset}.")
        if len(visited) == MAX_DIRECTORIES:
            raise InputRefused(
                Fault("multi_page", f"The file has over {MAX_DIRECTORIES} directories.", "Send one image per file.")
            )
        visited.add(offset)
        directory, offset = _directory(file, size, layout, offset)
        yield directory


def nodata_text(path: Path) -> str:
    """Return the text that the file declares as nodata, unchanged; "" if there is none. GDAL would read "abc" as 0."""
    with path.open("rb") as file:
        return next(directories(file, path.stat().st_size)).text(GDAL_NODATA).strip()


def _header(file: BinaryIO, size: int) -> tuple[_Layout, int]:
    magic = file.read(4)
    order = {b"II": "<", b"MM": ">"}.get(magic[:2], "")
    version = struct.unpack(order + "H", magic[2:4])[0] if order and len(magic) == 4 else 0
    if version not in (42, 43):
        hint = "Send a GeoTIFF. Other formats, like VRT, zip or HTML, are not read, whatever the file name."
        raise InputRefused(Fault("not_a_tiff", "The file does not begin like a TIFF.", hint))
    if version == 42:
        (first,) = struct.unpack(order + "I", _read(file, 4, 4, size))
        return _Layout(order, "H", "HHI", "I"), first
    offset_size, zero, first = struct.unpack(order + "HHQ", _read(file, 4, 12, size))
    if (offset_size, zero) != (8, 0):
        raise corrupt(f"The BigTIFF has offsets of {offset_size} bytes.")
    return _Layout(order, "Q", "HHQ", "Q"), first


def _directory(file: BinaryIO, size: int, layout: _Layout, at: int) -> tuple[Directory, int]:
    """Return the directory at byte `at`, and the byte offset of the next one, or 0 if there is none."""
    count_size, width = struct.calcsize("=" + layout.count), struct.calcsize("=" + layout.offset)
    (count,) = struct.unpack(layout.order + layout.count, _read(file, at, count_size, size))
    if not 0 < count <= MAX_ENTRIES:
        raise corrupt(f"The directory at byte {at} declares {count} entries.")
    head = struct.Struct(layout.order + layout.entry)
    step = head.size + width
    body = _read(file, at + count_size, count * step + width, size)
    entries = {}
    for start in range(0, count * step, step):
        tag, kind, values = head.unpack_from(body, start)
        length = values * _value_size(kind)
        (pointer,) = struct.unpack_from(layout.order + layout.offset, body, start + head.size)
        inside = at + count_size + start + head.size
        entries[tag] = (kind, values, inside if length <= width else pointer)
    (following,) = struct.unpack_from(layout.order + layout.offset, body, count * step)
    return Directory(file, size, layout.order, entries), following


def _value_size(kind: int) -> int:
    return np.dtype(_NUMPY_TYPES[kind]).itemsize if kind in _NUMPY_TYPES else _SIZES.get(kind, 1)


def _read(file: BinaryIO, offset: int, length: int, size: int) -> bytes:
    if offset + length > size:
        raise corrupt(f"The file should have at least {offset + length} bytes, but has {size}.")
    file.seek(offset)
    return file.read(length)
