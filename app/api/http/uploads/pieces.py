"""What a request wants to add to an upload in pieces, in the words of each protocol."""

import re

from fastapi import Request

from app.api.http import digests
from app.api.http.uploads import draft, tus
from app.api.http.uploads.receiving import announced_bytes, has_body
from app.core.errors import Encoded, Invalid, invalid
from app.data.uploads import Piece


def first_piece(request: Request, total: int | None) -> Piece | None:
    """The piece in the body of a POST, if there is one."""
    length, sends = announced_bytes(request), has_body(request)
    if tus.is_spoken(request):
        tus.check_length(request)
        if sends:
            _check_media_type(request, tus.MEDIA_TYPE)
        return Piece(0, length, total) if sends else None
    if draft.is_spoken(request):
        last = draft.completes(request)
        size = length if sends else 0
        return Piece(0, size, draft.total_of(0, size, total, last), last)
    return None


def piece(request: Request, offset: int, total: int | None) -> Piece:
    """The piece that the headers of a PATCH describe."""
    length, last = announced_bytes(request), False
    if tus.is_spoken(request):
        _check_media_type(request, tus.MEDIA_TYPE)
    elif draft.is_spoken(request):
        _check_media_type(request, draft.MEDIA_TYPE)
        last = draft.completes(request)
        total = draft.total_of(offset, length, total, last)
    return Piece(offset, length, total, last, digests.announced(request, digests.REPR))


def _check_media_type(request: Request, wanted: str) -> None:
    """Raise `Encoded` for a body that does not say that it is a piece."""
    if request.headers.get("content-type") != wanted:
        raise Encoded("wrong-media-type", f"The body is not said to be a piece. Send it with Content-Type {wanted}.")


def in_range(content_range: str, length: int | None) -> Piece:
    """The piece that Content-Range describes.

    length: bytes of the body, or None if the client does not state it. Raises `Invalid`.
    """
    match = re.fullmatch(r"bytes (\d{1,18})-(?:(\d{1,18})/(?:(\d{1,18})|\*))?", content_range)
    if not match:
        raise _wrong_range("Content-Range does not say where to go on.", "Write: Content-Range: bytes FIRST-LAST/ALL")
    first, last, total = (int(text) if text else None for text in match.groups())
    assert first is not None
    ranged = length if last is None else last - first + 1
    if length is not None and ranged != length:
        detail = f"Content-Range covers {ranged} bytes, but the body has {length}."
        raise _wrong_range(detail, "Count FIRST and LAST from 0; the body includes both bytes.")
    if last is not None and total is not None and last >= total:
        detail = f"Content-Range ends with byte {last}, but the file has only {total} bytes."
        raise _wrong_range(detail, "Count FIRST and LAST from 0: the last byte is ALL - 1.")
    return Piece(first, ranged, total)


def _wrong_range(detail: str, hint: str) -> Invalid:
    return invalid("invalid-content-range", detail, hint, "header:content-range")
