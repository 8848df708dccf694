"""Uploads that arrive in pieces, at any API of a fleet. `app.data.upload_content` says where their bytes lie.

An upload stays until a resource is made from it, until it is deleted, or until nothing has arrived for a day.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.access import usage
from app.core.columns import now
from app.core.errors import Conflict, Invalid, OverQuota, Quota, TooLarge, invalid
from app.core.idempotency import FRESH, IdempotentRequest
from app.core.preconditions import ANY, IfMatch
from app.core.rows import getter
from app.data import upload_content
from app.data.upload_content import held, size_of
from app.data.upload_sinks import Content, OffsetMismatch, Sink, used_up
from app.services import Services
from app.tables import UnfinishedUpload

ID = "^[0-9a-f]{32}$"  # of the ids that `begin` makes
MOST = 1000  # of a tenant that are unfinished: each is a row and a file, which no limit of bytes counts
KEPT = timedelta(days=1)  # for which an upload to which nothing is sent stays
get = getter(UnfinishedUpload, "upload")
Digests = dict[str, str]  # of a whole file, in base64, by algorithm as in RFC 9530


@dataclass(frozen=True)
class Announced:
    """What a client says of a whole file at the start. total: its bytes. metadata: as the header of tus has it."""

    total: int | None = None
    metadata: str = ""
    digests: Digests = field(default_factory=dict)


@dataclass(frozen=True)
class State:
    """How far an upload has come. offset: bytes that are stored safely. made: path of what was made of it, or None."""

    id: str
    offset: int
    total: int | None
    metadata: str
    made: str | None
    expires: datetime

    @property
    def complete(self) -> bool:
        """Whether all bytes of the file have arrived."""
        return self.offset == self.total

    @property
    def tag(self) -> str:
        """The ETag: bytes are only ever added to an upload, and its id is never given to another."""
        return str(self.offset)


@dataclass(frozen=True)
class Piece:
    """What a request wants to add to an upload. All in bytes, None where the client did not state it.

    offset: Where it begins. length: Its length. total: Length of the whole file. last: Whether the file ends with it.
    digests: Of the whole file.
    """

    offset: int
    length: int | None = None
    total: int | None = None
    last: bool = False
    digests: Digests = field(default_factory=dict)


def begin(services: Services, once: IdempotentRequest = FRESH, announced: Announced = Announced()) -> str:
    """Begin an empty upload; returns its id. The same request again is the same upload.

    Raises `NoRoom`, `TooLarge`, or `OverQuota` if there are too many already.
    """
    _check_total(announced.total, services)
    id_ = secrets.token_hex(16)
    upload_content.begin(services, id_)
    row = UnfinishedUpload(id=id_, total=announced.total, metadata_header=announced.metadata, digests=announced.digests)
    try:
        with services.database.write() as session:
            earlier = once.earlier(session, id_)
            if not earlier:
                session.add(row)
                _check_number(session)
    except BaseException:
        _remove_content(services, id_)
        raise
    if earlier:
        _remove_content(services, id_)
    return earlier or id_


def _check_number(session: Session) -> None:
    """Raise `OverQuota` if the tenant has begun too many uploads, this one included, of which nothing was made."""
    usage.lock(session)
    count = session.scalar(select(func.count()).select_from(UnfinishedUpload).where(UnfinishedUpload.made.is_(None)))
    if (count or 0) > MOST:
        detail = f"Your tenant has {MOST} uploads already of which nothing was made."
        hint = "Delete those that nobody continues. An upload ends by itself a day after its last byte."
        quota = Quota("unfinished-uploads", MOST, "uploads", retry_after_s=usage.RETRY_BYTES_S)
        raise OverQuota("too-many-unfinished-uploads", detail, hint, quota)


def _remove_content(services: Services, id_: str) -> None:
    with held(services, id_) as content:
        content.remove()


def state(services: Services, id_: str) -> State:
    """How far an upload has come. Raises `NotFound`."""
    with services.database.read() as session:
        row = get(session, id_)
    offset = size_of(services, id_) if row.made is None else row.total or 0
    return State(id_, offset, row.total, row.metadata_header, row.made, row.touched + KEPT)


@dataclass(frozen=True)
class Opened:
    """An upload that takes a piece. sink: Where the bytes go.

    end: Size in bytes that it must not pass, or None. total: Bytes of the whole file, or None if not announced.
    """

    sink: Sink
    end: int | None
    total: int | None


@contextmanager
def open_at(services: Services, id_: str, piece: Piece, if_match: IfMatch = ANY) -> Iterator[Opened]:
    """Open an upload for a piece.

    Raises `PreconditionFailed` if the upload has changed, `Locked` if another request is sending to it, and `Conflict`
    if the piece does not begin at the end of the bytes that are there, or would pass the announced end, if another
    total was stated before, or if something was made of the upload already.
    """
    _check_total(piece.total, services)
    with services.database.read() as session:
        check_unused(get(session, id_))  # the bytes of one that was used are gone
    with held(services, id_) as content:
        total = _agree(services, id_, content, piece, if_match)
        with content.sink() as sink:
            yield Opened(sink, _end_of(piece, total), total)
        if piece.last and total is None:
            _set_total(services, id_, sink.size)


def _agree(services: Services, id_: str, content: Content, piece: Piece, if_match: IfMatch) -> int | None:
    """Check a piece, and record what it says of the whole file; returns the total, if it is known by then."""
    with services.database.write() as session:
        row = get(session, id_)
        check_unused(row)
        if_match.check(str(content.size))
        if piece.offset != content.size:
            raise OffsetMismatch(content.size, piece.offset)
        if piece.total is not None:
            _agree_on_total(piece.total, row, content.size)
        if any(row.digests.get(algorithm, digest) != digest for algorithm, digest in piece.digests.items()):
            raise _other_digest()
        row.digests, row.touched = row.digests | piece.digests, now()
        _end_of(piece, row.total)
        return row.total


def check_unused(row: UnfinishedUpload) -> None:
    """Raise `Conflict` if something was made of the upload already."""
    if row.made is not None:
        raise used_up()


def _agree_on_total(total: int, row: UnfinishedUpload, size: int) -> None:
    if size > total:
        raise Conflict("total-mismatch", f"The upload has {size} bytes already, and is now announced to have {total}.")
    if row.total not in (None, total):
        detail = f"The announced size of the whole file was {row.total} bytes, and now it is {total}."
        raise Conflict("total-mismatch", f"{detail} Go on with the file that you began with, or begin a new upload.")
    row.total = total


def _other_digest() -> Invalid:
    hint = "Go on with the file that you began with, or begin a new upload."
    return invalid(
        "digest-mismatch", "The digest of the whole file was another one before.", hint, "header:repr-digest"
    )


def _end_of(piece: Piece, total: int | None) -> int | None:
    end = None if piece.length is None else piece.offset + piece.length
    if total is not None and end is not None and end > total:
        raise beyond(total)
    return total if end is None else end


def beyond(end: int) -> Conflict:
    """The error for bytes after the announced end of a file or a piece; `end` in bytes."""
    detail = f"The bytes go on after byte {end}, where they were announced to end."
    return Conflict("total-exceeded", f"{detail} HEAD says how many are kept: send only those that are missing.")


def _check_total(total: int | None, services: Services) -> None:
    limit = services.settings.upload_limit_bytes
    if total is not None and total > limit:
        raise TooLarge("body-too-large", f"The file is announced to have {total} bytes; the limit is {limit}.")


def _set_total(services: Services, id_: str, total: int) -> None:
    with services.database.write() as session:
        session.execute(update(UnfinishedUpload).where(UnfinishedUpload.id == id_).values(total=total))
