"""Reads a multipart form while it arrives: its texts, and the bytes of its one file, which are never kept here."""

import re
from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import unquote_to_bytes

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.core.errors import Unreadable, invalid

FILE = "file"  # the name of the field that is the file
MOST_FIELDS = 20
OF_FILE_NAMES = ("gb18030",)  # curl on Chinese Windows sends them in the encoding of the machine
_EXTENDED = re.compile(rb";\s*filename\*=\s*\"?utf-8'[^']*'([^;\"\s]+)", re.IGNORECASE)
TEXT_BYTES = 1 << 20  # of all texts together


class FormReader:
    """One form. Its file must be read to the end before its texts are looked at.

    texts: The values of the fields, by name; that of a file in a wrong field is "".
    filename: The name of the file on the client's disk, without folders; "" if the client does not say it.
    """

    def __init__(self, content_type: str) -> None:
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise _missing_file()
        self.texts: dict[str, str] = {}
        self.filename = ""
        self._pieces: list[bytes] = []  # of the file, which arrived and were not taken yet
        self._has_file = self._ended = False
        self._text_bytes = 0
        self._parser = self._parser_of(options[b"boundary"])

    def _parser_of(self, boundary: bytes) -> MultipartParser:
        try:
            return MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._header_name,
                    "on_header_value": self._header_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._end_headers,
                    "on_part_data": self._content,
                    "on_part_end": self._end_part,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise _unreadable("Its boundary is too long.") from error

    async def file(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The bytes of the file, as the body of the request arrives. Raises `Unreadable`, or `Invalid` for no file."""
        async for chunk in body:
            self._parse(chunk)
            for piece in self._pieces:
                yield piece
            self._pieces.clear()
        if not self._ended:
            raise _unreadable("It ends before its last boundary.")
        if not self._has_file:
            raise _missing_file()

    def _parse(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise _unreadable("A boundary or a header of it is malformed.") from error

    def _begin(self) -> None:
        self._name, self._value, self._disposition = b"", b"", b""

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name, self._value = b"", b""

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise _unreadable("A part of it has no name.")
        is_file = b"filename" in options or _extended(self._disposition) is not None
        self._field = _decoded(options[b"name"])
        if self._field in self.texts or (self._field == FILE and self._has_file):
            raise _unreadable("Two fields have the same name.")
        if len(self.texts) == MOST_FIELDS:
            raise _unreadable(f"It has over {MOST_FIELDS} fields.")
        self._is_file, self._discarded = is_file and self._field == FILE, is_file and self._field != FILE
        self._text = bytearray()
        if self._is_file:
            name = _extended(self._disposition) or _decoded(options.get(b"filename", b""), *OF_FILE_NAMES)
            self.filename = re.split(r"[/\\]", name)[-1]

    def _content(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._pieces.append(data[start:end])
        elif not self._discarded:
            self._text_bytes += end - start
            if self._text_bytes > TEXT_BYTES:
                raise _unreadable(f"Its texts have over {TEXT_BYTES} bytes.")
            self._text += data[start:end]

    def _end_part(self) -> None:
        if self._is_file:
            self._has_file = True
        elif self._field == FILE:
            raise _missing_file()
        else:
            self.texts[self._field] = _utf_8(bytes(self._text), self._field)

    def _end(self) -> None:
        self._ended = True


def _extended(disposition: bytes) -> str | None:
    """The name of a file as older and .NET clients add it, for letters beyond ASCII; None if there is none in UTF-8.

    RFC 7578 has no such names, but the plain name beside it is then missing or garbled.
    """
    found = _EXTENDED.search(disposition)
    with suppress(UnicodeDecodeError):
        return unquote_to_bytes(found[1]).decode() if found else None
    return None


def _utf_8(text: bytes, field: str) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise _unreadable(f"The field {field[:80]!r} is not in UTF-8.") from error


def _decoded(text: bytes, *encodings: str) -> str:
    """The text in the first encoding that fits it: UTF-8, `encodings`, Latin-1, which fits all."""
    for encoding in ("utf-8", *encodings):
        with suppress(UnicodeDecodeError):
            return text.decode(encoding)
    return text.decode("latin-1")


def _unreadable(detail: str) -> Unreadable:
    return Unreadable("invalid-form", f"The form cannot be read. {detail}")


def _missing_file() -> Exception:
    return invalid("missing-file", "The form has no file.", "Send the file as the field `file`.", "/file")
