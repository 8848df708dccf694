"""Reads the directories of a TIFF or BigTIFF in pure Python. It reads no pixels, and checks every number it uses."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ml.faults import Fault, InputRefused
from ml.other_formats import START_BYTES, other_format

# Tags (TIFF 6.0, GDAL and GeoTIFF), with the names of the specifications.
NEW_SUBFILE_TYPE, IMAGE_WIDTH, IMAGE_LENGTH, BITS_PER_SAMPLE, COMPRESSION = 254, 256, 257, 258, 259
STRIP_OFFSETS, SAMPLES_PER_PIXEL, ROWS_PER_STRIP, STRIP_BYTE_COUNTS, PLANAR_CONFIGURATION = 273, 277, 278, 279, 284
PREDICTOR, TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_BYTE_COUNTS, SAMPLE_FORMAT = 317, 322, 323, 324, 325, 339
PHOTOMETRIC, SUB_IFDS, EXTRA_SAMPLES, IMAGE_DEPTH, TILE_DEPTH = 262, 330, 338, 32997, 32998
GDAL_METADATA, GDAL_NODATA, RPC_COEFFICIENTS = 42112, 42113, 50844

# Field types, by number. Those of `_READ` are read here; of all others only the size matters.
_BYTE, _ASCII, _SHORT, _LONG, _DOUBLE, _LONG8 = 1, 2, 3, 4, 12, 16
_READ = {_BYTE: "u1", _ASCII: "u1", _SHORT: "u2", _LONG: "u4", _DOUBLE: "f8", _LONG8: "u8"}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
MAX_ENTRIES = 4096  # entries in a directory
MAX_DIRECTORIES = 256
MAX_VALUE_BYTES = 64 << 20
_SPARE_BYTES = 1 << 20  # that a walk may read beyond the size of the file, because it reads short values again


def corrupt(detail: str) -> InputRefused:
    """Return the exception for a file with an impossible structure."""
    return InputRefused(Fault("corrupt_tiff", detail, "The file is damaged or incomplete. Export it or send it again."))


def ambiguous(detail: str) -> InputRefused:
    """Return the exception for a file in which readers see different things."""
    return InputRefused(Fault("corrupt_tiff", detail, "Rewrite the file: gdal_translate in.tif out.tif"))


class BoundedFile:
    """A file from which a walk through its directories reads hardly more bytes than it has.

    In a sound file no bytes belong to two values, so a walk that reads each value once stays below this limit. A small
    file whose directories all name one large array would cost as much as a large file otherwise.

    size: Size of the file in bytes.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self.size, self._left = file, size, size + _SPARE_BYTES

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from byte `offset` on.

        Raises:
            InputRefused: corrupt_tiff if they lie outside the file, or if the limit is reached.
        """
        if offset + length > self.size:
            raise corrupt(f"The file should have at least {offset + length} bytes, but has {self.size}.")
        self._left -= length
        if self._left < 0:
            raise corrupt("Several directories refer to the same bytes of the file.")
        self._file.seek(offset)
        return self._file.read(length)


@dataclass(frozen=True)
class Directory:
    """One image file directory of a TIFF. The values of a tag are read only when they are requested.

    A tag whose values do not have the type and number that TIFF 6.0 defines for it is refused, because readers differ
    in what they make of it.

    file: File that is open for reading.
    order: Byte order as in `struct`, "<" or ">".
    big: Whether the file is a BigTIFF.
    entries: Type, count and byte offset of the values of each tag.
    """

    file: BoundedFile
    order: str
    big: bool
    entries: dict[int, tuple[int, int, int]]

    def length(self, tag: int) -> int:
        """Return the number of bytes that the values of a tag take; 0 if the tag is absent."""
        kind, count, _ = self.entries.get(tag, (_BYTE, 0, 0))
        return count * _SIZES.get(kind, 1)

    def array(self, tag: int) -> np.ndarray:
        """Return all values of a tag with whole numbers, like the offsets of blocks; empty if the tag is absent.

        Raises:
            InputRefused: corrupt_tiff if the values have another type, exceed 64 MiB or lie outside the file.
        """
        return self._values(tag, self._numbers)

    def number(self, tag: int, default: int) -> int:
        """Return the only value of a tag, or `default` if the tag is absent.

        Raises:
            InputRefused: corrupt_tiff if the tag has another number of values, or as `array` does.
        """
        if tag not in self.entries:
            return default
        return int(self._values(tag, self._numbers, counts=(1,))[0])

    def of_bands(self, tag: int, bands: int, default: int) -> set[int]:
        """Return the distinct values of a tag with one value for each of `bands` bands, or one value for all.

        Raises:
            InputRefused: corrupt_tiff if the tag has another number of values, or values of another type than SHORT.
        """
        return {int(value) for value in self._values(tag, (_SHORT,), counts=(1, bands))} or {default}

    def doubles(self, tag: int) -> np.ndarray:
        """Return all values of a tag with numbers in double precision; empty if the tag is absent.

        Raises:
            InputRefused: corrupt_tiff as `array` does.
        """
        return self._values(tag, (_DOUBLE,))

    def text(self, tag: int) -> str:
        """Return the value of a text tag up to its first NUL, or "" if the tag is absent.

        Raises:
            InputRefused: corrupt_tiff if the value is not ASCII, exceeds 64 MiB or lies outside the file.
        """
        return self._values(tag, (_ASCII,)).tobytes().split(b"\0")[0].decode("utf-8", "replace")

    @property
    def _numbers(self) -> tuple[int, ...]:
        return (_SHORT, _LONG, _LONG8) if self.big else (_SHORT, _LONG)

    def _values(self, tag: int, kinds: tuple[int, ...], counts: tuple[int, ...] | None = None) -> np.ndarray:
        if tag not in self.entries:
            return np.empty(0, dtype=np.uint8)
        kind, count, offset = self.entries[tag]
        if kind not in kinds:
            raise ambiguous(f"Tag {tag} has values of type {kind}.")
        if counts is not None and count not in counts:
            raise ambiguous(f"Tag {tag} has {count} values.")
        dtype = np.dtype(self.order + _READ[kind])
        length = count * dtype.itemsize
        if length > MAX_VALUE_BYTES:
            raise corrupt(f"Tag {tag} declares {count} values.")
        return np.frombuffer(self.file.read(offset, length), dtype)


@dataclass(frozen=True)
class _Layout:
    """Formats that differ between TIFF and BigTIFF, for `struct`.

    order: Byte order. count: Number of entries. entry: Tag, type and count of an entry. offset: Byte offset.
    header_bytes: Size of the header of the file.
    """

    order: str
    count: str
    entry: str
    offset: str
    header_bytes: int


def directories(file: BinaryIO, size: int) -> Iterator[Directory]:
    """Yield the directories of the main chain, in order.

    file: File that is open for reading, at its start.
    size: Size of the file in bytes.

    Raises:
        InputRefused: not_a_tiff; corrupt_tiff, also if a directory shares bytes with an earlier one or with the header,
            or has a tag twice or out of order; multi_page if there are over 256 directories.
    """
    layout, offset = _header(file, size)
    bounded = BoundedFile(file, size)
    taken = [range(layout.header_bytes)]
    while offset:
        if len(taken) > MAX_DIRECTORIES:
            raise InputRefused(
                Fault("multi_page", f"The file has over {MAX_DIRECTORIES} directories.", "Send one image per file.")
            )
        directory, place, offset = _directory(bounded, layout, offset)
        if any(place.start < other.stop and other.start < place.stop for other in taken):
            raise corrupt(f"The directory at byte {place.start} shares bytes with the header or an earlier directory.")
        taken.append(place)
        yield directory


def nodata_text(path: Path) -> str:
    """Return the text that the file declares as nodata, unchanged; "" if there is none. GDAL would read "abc" as 0."""
    with path.open("rb") as file:
        return next(directories(file, path.stat().st_size)).text(GDAL_NODATA).strip()


def _not_a_tiff(start: bytes) -> Fault:
    other = other_format(start)
    detail = other.detail if other else "The file does not begin like a TIFF."
    hint = other.as_scene if other else "Send a GeoTIFF. Other formats are not read, whatever the file name."
    return Fault("not_a_tiff", detail, hint)


def _header(file: BinaryIO, size: int) -> tuple[_Layout, int]:
    magic = file.read(4)
    order = {b"II": "<", b"MM": ">"}.get(magic[:2], "")
    version = struct.unpack(order + "H", magic[2:4])[0] if order and len(magic) == 4 else 0
    if version not in (42, 43):
        raise InputRefused(_not_a_tiff(magic + file.read(START_BYTES)))
    head = BoundedFile(file, size)
    if version == 42:
        (first,) = struct.unpack(order + "I", head.read(4, 4))
        return _Layout(order, "H", "HHI", "I", header_bytes=8), first
    offset_size, zero, first = struct.unpack(order + "HHQ", head.read(4, 12))
    if (offset_size, zero) != (8, 0):
        raise corrupt(f"The BigTIFF has offsets of {offset_size} bytes.")
    return _Layout(order, "Q", "HHQ", "Q", header_bytes=16), first


def _directory(file: BoundedFile, layout: _Layout, at: int) -> tuple[Directory, range, int]:
    """Return the directory at byte `at`, the bytes it takes, and the offset of the next one, or 0 if there is none."""
    count_size, width = struct.calcsize("=" + layout.count), struct.calcsize("=" + layout.offset)
    (count,) = struct.unpack(layout.order + layout.count, file.read(at, count_size))
    if not 0 < count <= MAX_ENTRIES:
        raise corrupt(f"The directory at byte {at} declares {count} entries.")
    head = struct.Struct(layout.order + layout.entry)
    step = head.size + width
    body = file.read(at + count_size, count * step + width)
    entries = dict[int, tuple[int, int, int]]()
    last = -1
    for start in range(0, count * step, step):
        tag, kind, values = head.unpack_from(body, start)
        if tag <= last:  # of two values of one tag, GDAL takes the first and other readers the last
            raise ambiguous(f"Tag {tag} stands {'twice in' if tag == last else 'out of order in'} a directory.")
        last = tag
        length = values * _SIZES.get(kind, 1)
        (pointer,) = struct.unpack_from(layout.order + layout.offset, body, start + head.size)
        inside = at + count_size + start + head.size
        entries[tag] = (kind, values, inside if length <= width else pointer)
    (following,) = struct.unpack_from(layout.order + layout.offset, body, count * step)
    place = range(at, at + count_size + len(body))
    return Directory(file, layout.order, layout.offset == "Q", entries), place, following
