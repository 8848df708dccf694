"""Routes of /v1/uploads: send a file in pieces over a connection that may break.

They follow draft-ietf-httpbis-resumable-upload.
"""

import re
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from starlette.concurrency import run_in_threadpool

from app.api import documents
from app.api.http import forms, receiving
from app.api.http.answers import OFFSET, answer, created
from app.api.http.deps import Id, Wired
from app.api.http.problems import IN_BODIES, problems
from app.core.errors import Invalid, invalid
from app.data import uploads
from app.services import Services

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])
SENT = answer(204, OFFSET)
IN_PIECES = problems(*IN_BODIES, 404, 409, 415, 423, 507)
Offset = Annotated[int, Header(alias="Upload-Offset", ge=0, description="Number of bytes that precede this piece.")]


@router.post("", status_code=201, responses=created() | problems(507))
async def post_upload(services: Wired, response: Response) -> documents.Upload:
    """Begin an upload. Send its bytes with PATCH; then pass its id as `?upload=` to a route that takes a file."""
    id_ = await run_in_threadpool(uploads.begin, services)
    response.headers["Location"] = f"/v1/uploads/{id_}"
    return documents.Upload(id=id_, offset=0, limit_bytes=services.settings.upload_limit_bytes)


@router.head("/{id}", status_code=204, responses=SENT | problems(404))
def head_upload(services: Wired, id_: Id, response: Response) -> None:
    """Read how many bytes are stored safely, from the header `Upload-Offset`."""
    response.headers["Cache-Control"] = "no-store"
    _set_offset(response, uploads.offset(services, id_))


@router.patch("/{id}", status_code=204, openapi_extra=forms.RAW_BODY, responses=SENT | IN_PIECES)
async def patch_upload(services: Wired, request: Request, response: Response, id_: Id, offset: Offset) -> None:
    """Send more bytes, from `Upload-Offset` on. If the request breaks off, the bytes that arrived are kept."""
    await _append(services, request, response, id_, offset)


@router.put("/{id}", status_code=204, openapi_extra=forms.RAW_BODY, responses=SENT | IN_PIECES)
async def put_upload(
    services: Wired,
    request: Request,
    response: Response,
    id_: Id,
    content_range: Annotated[
        str, Header(max_length=100, description="bytes FIRST-LAST/ALL, where ALL may be *; or bytes FIRST-.")
    ] = "bytes 0-",
) -> None:
    """Send more bytes with `curl -C OFFSET -T FILE`.

    Content-Range says where the bytes belong; without it they are the file from its start.
    """
    first, total = _read_range(content_range, receiving.announced_bytes(request))
    await _append(services, request, response, id_, first, total)


@router.delete("/{id}", status_code=204, responses=problems(404, 423))
def delete_upload(services: Wired, id_: Id) -> None:
    """Delete an upload. Otherwise it is deleted a day after its last byte arrived."""
    uploads.delete(services, id_)


def _read_range(content_range: str, length: int | None) -> tuple[int, int | None]:
    """The offset of the first byte, and the size of the whole file in bytes or None if Content-Range does not state it.

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
    return first, total


def _wrong_range(detail: str, hint: str) -> Invalid:
    return invalid("invalid-content-range", detail, hint, "header:content-range")


async def _append(
    services: Services, request: Request, response: Response, id_: str, offset: int, total: int | None = None
) -> None:
    receiving.check_announced(request, services)
    with uploads.open_at(services, id_, offset, total) as file:
        await receiving.receive(request, services, file)
    _set_offset(response, await run_in_threadpool(uploads.offset, services, id_))


def _set_offset(response: Response, offset: int) -> None:
    response.headers["Upload-Offset"] = str(offset)
