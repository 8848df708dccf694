"""Routes of /v1/uploads: send a file in pieces over a connection that may break.

They follow draft-ietf-httpbis-resumable-upload.
"""

import re
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Request, Response
from starlette.concurrency import run_in_threadpool

from app.api import documents
from app.api.http import forms, receiving
from app.api.http.answers import ETAG, OFFSET, answer, created
from app.api.http.deps import Condition, OnceOnly, Wired, etag
from app.api.http.problems import IN_BODIES, problems
from app.core.errors import Invalid, NotFound, invalid
from app.core.preconditions import IfMatch
from app.data import uploads
from app.services import Services
from ml.text import is_one_line

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])
SENT = answer(204, OFFSET | ETAG)
IN_PIECES = problems(*IN_BODIES, 404, 409, 412, 415, 423, 507)
Offset = Annotated[int, Header(alias="Upload-Offset", ge=0, description="Number of bytes that precede this piece.")]


async def _length(
    request: Request,
    upload_length: Annotated[int, Header(ge=0, lt=10**18, description="Number of bytes of the whole file.")] = 0,
) -> int | None:
    return upload_length if "upload-length" in request.headers else None


async def _upload_id(id_: Annotated[str, Path(alias="id", json_schema_extra={"pattern": uploads.ID})]) -> str:
    """The id in a path. Raises `NotFound` for one that `begin` cannot have made: it could name another file."""
    if not re.fullmatch(uploads.ID, id_):
        raise NotFound("upload", id_ if is_one_line(id_) else "?")
    return id_


Length = Annotated[int | None, Depends(_length)]
UploadPath = Annotated[str, Depends(_upload_id)]


@router.post("", status_code=201, responses=created(ETAG) | problems(*IN_BODIES, 404, 507))
async def post_upload(services: Wired, response: Response, once: OnceOnly, length: Length) -> documents.Upload:
    """Begin an upload. Send its bytes with PATCH; then pass its id as `?upload=` to a route that takes a file."""
    id_ = await run_in_threadpool(uploads.begin, services, once, length)
    offset = await run_in_threadpool(uploads.offset, services, id_)
    response.headers["Location"] = f"/v1/uploads/{id_}"
    etag(response, uploads.tag_of(offset))
    return documents.Upload(id=id_, offset=offset, limit_bytes=services.settings.upload_limit_bytes)


@router.head("/{id}", status_code=204, responses=SENT | problems(404))
def head_upload(services: Wired, id_: UploadPath, response: Response) -> None:
    """Read how many bytes are stored safely, from the header `Upload-Offset`."""
    response.headers["Cache-Control"] = "no-store"
    _set_offset(response, uploads.offset(services, id_))


@router.patch("/{id}", status_code=204, openapi_extra=forms.RAW_BODY, responses=SENT | IN_PIECES)
async def patch_upload(
    services: Wired,
    request: Request,
    response: Response,
    id_: UploadPath,
    offset: Offset,
    if_match: Condition,
    length: Length,
) -> None:
    """Send more bytes, from `Upload-Offset` on. If the request breaks off, the bytes that arrived are kept."""
    piece = uploads.Piece(offset, receiving.announced_bytes(request), length)
    await _append(services, request, response, id_, piece, if_match)


@router.put("/{id}", status_code=204, openapi_extra=forms.RAW_BODY, responses=SENT | IN_PIECES)
async def put_upload(
    services: Wired,
    request: Request,
    response: Response,
    id_: UploadPath,
    if_match: Condition,
    content_range: Annotated[
        str, Header(max_length=100, description="bytes FIRST-LAST/ALL, where ALL may be *; or bytes FIRST-.")
    ] = "bytes 0-",
) -> None:
    """Send more bytes with `curl -C OFFSET -T FILE`.

    Content-Range says where the bytes belong; without it they are the file from its start.
    """
    piece = _read_range(content_range, receiving.announced_bytes(request))
    await _append(services, request, response, id_, piece, if_match)


@router.delete("/{id}", status_code=204, responses=problems(404, 412, 423))
def delete_upload(services: Wired, id_: UploadPath, if_match: Condition) -> None:
    """Delete an upload. Otherwise it is deleted a day after its last byte arrived."""
    uploads.delete(services, id_, if_match)


def _read_range(content_range: str, length: int | None) -> uploads.Piece:
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
    return uploads.Piece(first, ranged, total)


def _wrong_range(detail: str, hint: str) -> Invalid:
    return invalid("invalid-content-range", detail, hint, "header:content-range")


async def _append(
    services: Services, request: Request, response: Response, id_: str, piece: uploads.Piece, if_match: IfMatch
) -> None:
    receiving.check_announced(request, services)
    with uploads.open_at(services, id_, piece, if_match) as (file, end):
        await receiving.receive(request, services, file, end)
    _set_offset(response, await run_in_threadpool(uploads.offset, services, id_))


def _set_offset(response: Response, offset: int) -> None:
    response.headers["Upload-Offset"] = str(offset)
    etag(response, uploads.tag_of(offset))
