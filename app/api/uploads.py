"""Routes of /v1/uploads: send a file in pieces over a connection that may break.

Clients may speak tus 1.0.0, draft-ietf-httpbis-resumable-upload, or neither: a header says which. The answers are the
same for all of them.
"""

import re
from email.utils import formatdate
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Request, Response
from starlette.concurrency import run_in_threadpool

from app.api.documents import whole as documents
from app.api.http import digests
from app.api.http.answers import ETAG, OFFSET, answer, created
from app.api.http.deps import Condition, OnceSent, Wired, etag, in_threads
from app.api.http.description import UPLOAD_HEADERS
from app.api.http.problems import IN_UPLOADS, problems
from app.api.http.uploads import draft, forms, pieces, receiving, targets, tus
from app.core.columns import now
from app.core.errors import Conflict, NotFound, TooLarge
from app.core.idempotency import IdempotentRequest
from app.core.preconditions import ANY, IfMatch
from app.data import upload_end, uploads
from app.services import Services
from ml.text import is_one_line

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])
SENT = answer(204, OFFSET | ETAG)
IN_PIECES = problems(*IN_UPLOADS, 412, 460)
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


@router.options("", status_code=204, responses=answer(204))
def options_uploads(services: Wired, response: Response) -> None:
    """Read what of tus, and which limits of resumable uploads, there are."""
    limit_bytes = services.settings.upload_limit_bytes
    response.headers.update(tus.capabilities(limit_bytes))
    response.headers["Upload-Limit"] = f"max-size={limit_bytes}"
    response.headers["Accept-Patch"] = f"{draft.MEDIA_TYPE}, {tus.MEDIA_TYPE}"
    response.headers["Allow"] = "OPTIONS, POST"


@router.post(
    "",
    status_code=201,
    response_model=documents.Upload,
    openapi_extra=UPLOAD_HEADERS,
    responses=created(ETAG) | IN_PIECES,
)
async def post_upload(
    services: Wired, request: Request, response: Response, head: OnceSent, length: Length
) -> documents.Upload | Response:
    """Begin an upload. Send its bytes with PATCH; then pass its id as `?upload=` to a route that takes a file.

    Or name in `Upload-Metadata`, as tus has it, what to make of it: `kind` (scene, labels or zones) and the fields of a
    form. The body is the first piece if the client speaks tus or draft-ietf-httpbis-resumable-upload, and is not read
    else.
    """
    first: uploads.Piece | None = None
    try:
        first = pieces.first_piece(request, length)
        announced = _announced(request, first.total if first else length)
        once = await _once(request, head, first, announced)
        id_ = await run_in_threadpool(uploads.begin, services, once, announced)
        response.headers["Location"] = f"/v1/uploads/{id_}"
        if first and not (await run_in_threadpool(uploads.state, services, id_)).offset:
            await _append(services, request, id_, first)
    except (Conflict, TooLarge) as error:
        return _in_words_of_the_client(request, services, error)
    state = await _settled(services, request, id_)
    _tell(response, services, state)
    return documents.Upload(id=id_, offset=state.offset, limit_bytes=services.settings.upload_limit_bytes)


def _announced(request: Request, total: int | None) -> uploads.Announced:
    metadata = request.headers.get("upload-metadata", "")
    targets.target_of(metadata)  # what is wrong with it is told before the bytes are sent
    return uploads.Announced(total, metadata, digests.announced(request, digests.REPR))


async def _once(
    request: Request, head: IdempotentRequest, first: uploads.Piece | None, announced: uploads.Announced
) -> IdempotentRequest:
    return head.with_body(str(announced).encode() if first or announced.metadata else await request.body())


@router.head("/{id}", status_code=204, responses=SENT | IN_PIECES)
async def head_upload(services: Wired, request: Request, id_: UploadPath, response: Response) -> None:
    """Read how many bytes are stored safely, from the header `Upload-Offset`.

    If all bytes are there, but what `Upload-Metadata` asks for could not be made of them, the answer is why.
    """
    response.headers["Cache-Control"] = "no-store"
    _tell(response, services, await _settled(services, request, id_))


@router.patch(
    "/{id}",
    status_code=204,
    response_model=None,
    openapi_extra=forms.RAW_BODY | UPLOAD_HEADERS,
    responses=SENT | IN_PIECES,
)
async def patch_upload(
    services: Wired,
    request: Request,
    response: Response,
    id_: UploadPath,
    offset: Offset,
    if_match: Condition,
    length: Length,
) -> Response | None:
    """Send more bytes, from `Upload-Offset` on. If the request breaks off, the bytes that arrived are kept.

    With `Content-Digest`, or `Upload-Checksum` of tus, all of the body is kept or nothing.
    """
    try:
        piece = pieces.piece(request, offset, length)
        if draft.is_spoken(request):
            draft.refuse_complete(await run_in_threadpool(uploads.state, services, id_), piece)
        await _append(services, request, id_, piece, if_match)
    except (Conflict, TooLarge) as error:
        return _in_words_of_the_client(request, services, error)
    _tell(response, services, await _settled(services, request, id_))
    return None


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
    piece = pieces.in_range(content_range, receiving.announced_bytes(request))
    await _append(services, request, id_, piece, if_match)
    _tell(response, services, await _settled(services, request, id_))


@router.delete("/{id}", status_code=204, responses=problems(404, 412, 423))
def delete_upload(services: Wired, id_: UploadPath, if_match: Condition) -> None:
    """Delete an upload. Otherwise it is deleted a day after its last byte arrived."""
    upload_end.delete(services, id_, if_match)


async def _append(
    services: Services, request: Request, id_: str, piece: uploads.Piece, if_match: IfMatch = ANY
) -> None:
    """Add the body of a request to an upload. Here its bytes begin to arrive."""
    checks = [*digests.checks(request, digests.CONTENT), *tus.checksums(request)]
    receiving.check_announced(request, services)
    async with in_threads(uploads.open_at(services, id_, piece, if_match)) as opened:
        await receiving.receive_piece(request, services, id_, opened, checks)


async def _settled(services: Services, request: Request, id_: str) -> uploads.State:
    """How far an upload has come. If all bytes are there, what its metadata ask for is made of them first."""
    state = await run_in_threadpool(uploads.state, services, id_)
    target = targets.target_of(state.metadata) if state.complete and state.made is None else None
    if target:
        await targets.make(request, services, id_, target)
        state = await run_in_threadpool(uploads.state, services, id_)
    return state


def _in_words_of_the_client(request: Request, services: Services, error: Conflict | TooLarge) -> Response:
    """The answer that the draft has for an error; raises the error if the client speaks something else."""
    limit_bytes = services.settings.upload_limit_bytes
    told = draft.problem(request, error, limit_bytes) if draft.is_spoken(request) else None
    if told is None:
        raise error
    return told


def _tell(response: Response, services: Services, state: uploads.State) -> None:
    """Say how far an upload has come, in the headers of all protocols."""
    left_s = max(0, round((state.expires - now()).total_seconds()))
    told = {
        "Upload-Offset": str(state.offset),
        "Upload-Complete": "?1" if state.complete else "?0",
        "Upload-Limit": f"max-size={services.settings.upload_limit_bytes}, max-age={left_s}",
        "Upload-Expires": formatdate(state.expires.timestamp(), usegmt=True),
        "Upload-Metadata": state.metadata,
        "Content-Location": state.made,
        **({"Upload-Defer-Length": "1"} if state.total is None else {"Upload-Length": str(state.total)}),
    }
    response.headers.update({name: value for name, value in told.items() if value})
    etag(response, state.tag)
