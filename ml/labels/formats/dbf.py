"""Reader for the attributes of a Shapefile, a .dbf file as dBASE III and FoxPro write it."""

import codecs
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from ml.faults import Note
from ml.labels.features import TextEncoding, Value, listed, refuse_many_values
from ml.labels.formats.text_encoding import encoding_of, looks_like_utf_8

_HEADER, _DESCRIPTOR = 32, 32  # bytes
_CHUNK = 10_000  # records
_END = 0x0D  # after the last descriptor
_DELETED = ord("*")
_NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_LOGICAL = {b"T": True, b"t": True, b"Y": True, b"y": True, b"F": False, b"f": False, b"N": False, b"n": False}
_TEXT, _NUMBERS, _BOOLEAN, _DATE = "C", "NF", "L", "D"  # types of columns that are read


class BadTableError(ValueError):
    """A .dbf file is damaged. The message says why, without a full stop."""


@dataclass(frozen=True)
class Column:
    """A column of the table. kind: letter of its type; start: position in a record; width: in bytes."""

    name: bytes
    kind: str
    start: int
    width: int

    @property
    def read(self) -> bool:
        """Whether values of this type are read: others, such as memos, lie elsewhere or are binary."""
        return self.kind in (*_TEXT, *_NUMBERS, *_BOOLEAN, *_DATE)


@dataclass(frozen=True)
class Table:
    """Attributes of a Shapefile.

    positions: Position of each attribute in a row, by name.
    rows: Values of the attributes, for each record, deleted ones too.
    deleted: Whether each record is marked as deleted, shape (records,), bool.
    encoding: Encoding of the text.
    notes: What is remarkable about the table.
    """

    positions: dict[str, int]
    rows: list[tuple[Value, ...]]
    deleted: np.ndarray
    encoding: TextEncoding
    notes: tuple[Note, ...]


def read_table(dbf: bytes, cpg: bytes) -> Table:
    """Read all records.

    dbf, cpg: Contents of the .dbf file, and of the .cpg file, which names the encoding; empty if there is none.

    Raises:
        BadTableError: The header contradicts itself or the size of the file, or two columns have the same name.
        InputRefused: too_many_features.
    """
    columns, records = _columns(dbf), _records(dbf)
    readable = [column for column in columns if column.read]
    refuse_many_values(len(records), [""] * len(readable))
    raw = {column: _texts(records, column) for column in readable}
    texts = [text for column in readable if column.kind in _TEXT for text in set(raw[column])]
    texts += [column.name for column in columns]
    encoding = encoding_of(cpg, dbf[29], texts)
    decoder = _Decoder(encoding.name)
    names = [decoder.text(column.name, "a name") for column in readable]
    if len(set(names)) < len(names):
        raise BadTableError(f"two columns have the same name, among {listed(names)}")
    values = [decoder.column(raw[column], column.kind, name) for column, name in zip(readable, names, strict=True)]
    rows: list[tuple[Value, ...]] = list(zip(*values, strict=True)) if values else [()] * len(records)
    skipped = [decoder.text(column.name, "a name") for column in columns if not column.read]
    notes = (*_skipped(skipped), *decoder.notes(), *_doubtful(encoding, texts))
    positions = {name: number for number, name in enumerate(names)}
    return Table(positions, rows, records[:, 0] == _DELETED, encoding, notes)


def record_count(dbf: bytes) -> int:
    """Return the number of records that the header of a .dbf file names. Raises `BadTableError`."""
    return _sizes(dbf)[1]


def _columns(dbf: bytes) -> list[Column]:
    _, _, header, width = _sizes(dbf)
    columns, start, at = list[Column](), 1, _HEADER
    while at + _DESCRIPTOR <= header and dbf[at] != _END:
        name, kind, size = struct.unpack_from("11sc4xB", dbf, at)
        columns.append(Column(name.split(b"\0")[0].strip(), kind.decode("latin-1"), start, size))
        start, at = start + size, at + _DESCRIPTOR
    if start != width:
        raise BadTableError(f"the header gives a record {width} bytes, but its columns have {start - 1} and a mark")
    return columns


def _records(dbf: bytes) -> np.ndarray:
    """Return the bytes of all records, shape (records, bytes), uint8."""
    _, count, header, width = _sizes(dbf)
    if count * width > len(dbf) - header:
        raise BadTableError(f"the header counts {count:,} records of {width} bytes, more than the file holds")
    return np.frombuffer(dbf, np.uint8, count * width, header).reshape(count, width)


def _sizes(dbf: bytes) -> tuple[int, int, int, int]:
    """Return the version, the number of records, the bytes of the header, and the bytes of a record."""
    if len(dbf) <= _HEADER:
        raise BadTableError("it is too short")
    version, count, header, width = struct.unpack_from("<B3xIHH", dbf)
    if not _HEADER < header <= len(dbf) or width < 1:
        raise BadTableError("its header is damaged")
    return version, count, header, width


def _texts(records: np.ndarray, column: Column) -> list[bytes]:
    """Return the bytes of a column, for each record, up to the first NUL and without spaces around them."""
    if column.width == 0 or len(records) == 0:
        return [b""] * len(records)
    plain, texts = dict[bytes, bytes](), list[bytes]()
    for start in range(0, len(records), _CHUNK):  # so that texts of the full width never exist all at once
        field = np.ascontiguousarray(records[start : start + _CHUNK, column.start : column.start + column.width])
        raw = [text.split(b"\0")[0].strip(b" ") for text in field.view(f"S{column.width}").ravel().tolist()]
        texts += [plain.setdefault(text, text) for text in raw]
    return texts


class _Decoder:
    """Turns the bytes of columns into values, and remembers what could not be read.

    encoding: Encoding of texts.
    """

    def __init__(self, encoding: str) -> None:
        self._encoding, self._decode = encoding, codecs.getdecoder(encoding)
        self._damaged, self._unreadable = dict[str, str](), dict[str, bytes]()

    def text(self, raw: bytes, name: str) -> str:
        try:
            return self._decode(raw)[0]
        except UnicodeDecodeError:
            text = self._decode(raw, "replace")[0]
            self._damaged.setdefault(name, text)
            return text

    def column(self, raw: Sequence[bytes], kind: str, name: str) -> Iterator[Value]:
        """Return the values of a column. Equal texts are one object."""
        values = {text: self._value(text, kind, name) for text in set(raw)}
        return (values[text] for text in raw)

    def _value(self, raw: bytes, kind: str, name: str) -> Value:
        if not raw:
            return None
        if kind in _TEXT:
            return self.text(raw, name)
        try:
            return _plain_value(raw, kind)
        except (ValueError, KeyError):
            self._unreadable.setdefault(name, raw)
            return None

    def notes(self) -> Iterator[Note]:
        if self._damaged:
            found = ", ".join(f"{text[:40]!r} in {name[:40]}" for name, text in list(self._damaged.items())[:12])
            detail = f"Texts are damaged, or in another encoding than {self._encoding}: {found}."
            hint = "Name the right encoding in a .cpg file. A column that is too narrow cuts its last character."
            yield Note(code="undecodable_text", detail=detail, hint=hint)
        if self._unreadable:
            found = ", ".join(f"{raw[:40]!r} in {name[:40]}" for name, raw in list(self._unreadable.items())[:12])
            yield Note(
                code="unreadable_values",
                detail=f"Values are no numbers, dates or booleans: {found}.",
                hint="They count as missing.",
            )


def _plain_value(raw: bytes, kind: str) -> Value:
    """Return the number, date or boolean that a text of a column says; None for the marks that stand for none."""
    if kind in _BOOLEAN:
        return None if raw == b"?" else _LOGICAL[raw]
    if kind in _DATE:
        return _date(raw)
    if raw.startswith(b"*"):
        return None
    if not _NUMBER.fullmatch(raw):
        raise ValueError("no number")
    return float(raw) if raw.strip(b"+-0123456789") else int(raw)


def _date(raw: bytes) -> str | None:
    """Return a date as YYYY-MM-DD; None for the date 0."""
    if not raw.strip(b"0"):
        return None
    if len(raw) != 8 or not raw.isdigit():
        raise ValueError("no date")
    return date(int(raw[:4]), int(raw[4:6]), int(raw[6:])).isoformat()


def _doubtful(encoding: TextEncoding, texts: Sequence[bytes]) -> Iterator[Note]:
    if encoding.found_by != "text" and encoding.name != "utf-8" and looks_like_utf_8(texts):
        detail = f"The file says that its text is {encoding.name}, but all of it could be UTF-8."
        yield Note(code="doubtful_encoding", detail=detail, hint="If so, write UTF-8 into the .cpg file.")


def _skipped(names: Sequence[str]) -> tuple[Note, ...]:
    if not names:
        return ()
    detail = f"These columns are memos or binary, and are not read: {listed(names)}."
    return (Note(code="unread_attributes", detail=detail, hint="They count as missing."),)
