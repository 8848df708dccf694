"""A walk of the directories of a TIFF or BigTIFF in pure Python: it reads no pixel and trusts no number."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ml.faults import Fault, InputRefused

# Tags (TIFF 6.0, GDAL and GeoTIFF), by the names that the specifications give them.
NEW_SUBFILE_TYPE, IMAGE_WIDTH, IMAGE_LENGTH, BITS_PER_SAMPLE, COMPRESSION = 254, 256, 257, 258, 259
STRIP_OFFSETS, SAMPLES_PER_PIXEL, ROWS_PER_STRIP, STRIP_BYTE_COUNTS, PLANAR_CONFIGURATION = 273, 277, 278, 279, 284
PREDICTOR, TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_BYTE_COUNTS, SAMPLE_FORMAT = 317, 322, 323, 324, 325, 339
GDAL_METADATA, GDAL_NODATA, RPC_COEFFICIENTS = 42112, 42113, 50844

# Types of values, by their numbers: whole numbers and text, which are read here, and the sizes of the others.
_NUMPY_TYPES = {1: "u1", 2: "u1", 3: "u2", 4: "u4", 6: "i1", 7: "u1", 8: "i2", 9: "i4", 13: "u4", 16: "u8", 17: "i8"}
_NUMPY_TYPES |= {18: "u8"}
_SIZES = {5: 8, 10: 8, 11: 4, 12: 8}
MAX_ENTRIES = 4096
MAX_DIRECTORIES = 256
MAX_VALUE_BYTES = 64 << 20


def corrupt(detail: str) -> InputRefused:
    """The refusal of a file whose structure cannot be true."""
    return InputRefused(Fault("corrupt_tiff", detail, "The file is damaged or was cut short: export or send it again."))


@dataclass(frozen=True)
class Directory:
    """One image file directory: where the values of each tag lie. Values are read when asked for."""

    file: BinaryIO
    size: int
    order: str
    entries: dict[int, tuple[int, int, int]]  # tag -> type, count, offset

    def array(self, tag: int) -> np.ndarray:
        """All values of `tag`, whole numbers; empty if it is absent."""
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
        """The first value of `tag`, or `default` if it is absent."""
        values = self.array(tag)
        return int(values[0]) if len(values) else default

    def text(self, tag: int) -> str:
        """The value of an ASCII tag up to its NUL, "" if it is absent."""
        return self.array(tag).tobytes().split(b"\0")[0].decode("utf-8", "replace")


@dataclass(frozen=True)
class _Layout:
    """Where TIFF and BigTIFF differ: struct formats of a count, of an entry and of an offset."""

    order: str
    count: str
    entry: str
    offset: str


def directories(file: BinaryIO, size: int) -> Iterator[Directory]:
    """The directories of the main chain, in order.

    Raises:
        InputRefused: not_a_tiff, corrupt_tiff (also for a chain that bites its tail), multi_page (over 256 of them).
    """
    layout, offset = _header(file, size)
    seen: set[int] = set()
    while offset:
        if offset in seen:
            raise corrupt(f"The chain of directories returns to byte {offset}.")
        if len(seen) == MAX_DIRECTORIES:
            raise InputRefused(
                Fault("multi_page", f"The file has over {MAX_DIRECTORIES} directories.", "Send one image per file.")
            )
        seen.add(offset)
        directory, offset = _directory(file, size, layout, offset)
        yield directory


def nodata_text(path: Path) -> str:
    """What the file declares as nodata, word for word; "" if it declares nothing. GDAL turns "abc" into 0."""
    with path.open("rb") as file:
        return next(directories(file, path.stat().st_size)).text(GDAL_NODATA).strip()


def _header(file: BinaryIO, size: int) -> tuple[_Layout, int]:
    magic = file.read(4)
    order = {b"II": "<", b"MM": ">"}.get(magic[:2], "")
    version = struct.unpack(order + "H", magic[2:4])[0] if order and len(magic) == 4 else 0
    if version not in (42, 43):
        hint = "Send a GeoTIFF: VRT, zip, HTML and the like are not read, whatever their name."
        raise InputRefused(Fault("not_a_tiff", "The file does not begin as a TIFF does.", hint))
    if version == 42:
        (first,) = struct.unpack(order + "I", _read(file, 4, 4, size))
        return _Layout(order, "H", "HHI", "I"), first
    offset_size, zero, first = struct.unpack(order + "HHQ", _read(file, 4, 12, size))
    if (offset_size, zero) != (8, 0):
        raise corrupt(f"A BigTIFF with offsets of {offset_size} bytes.")
    return _Layout(order, "Q", "HHQ", "Q"), first


def _directory(file: BinaryIO, size: int, layout: _Layout, at: int) -> tuple[Directory, int]:
    """The directory at byte `at`, and where the next one lies (0: nowhere)."""
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
        raise corrupt(f"Byte {offset + length} is needed, but the file ends at {size}.")
    file.seek(offset)
    return file.read(length)
