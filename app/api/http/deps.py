"""Dependencies of the routes: services, a database session, names, preconditions and idempotency keys.

Those that every request needs are `async` although they wait for nothing, because FastAPI runs each of the others in
a thread.
"""

import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Annotated, Any, TypeVar

from anyio import CancelScope, CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import Depends, Header, Path, Query, Request, Response
from pydantic.json_schema import SkipJsonSchema
from sqlalchemy.orm import Session

from app.api.http.copies import HASH
from app.api.http.parameters import check_query, checked
from app.client import id_of_file
from app.core.errors import NotFound, invalid
from app.core.idempotency import IdempotentRequest
from app.core.names import ID, MODEL, NAME, check_name
from app.core.preconditions import EVERY, IfMatch
from app.data import uploads
from app.services import Services

Entered = TypeVar("Entered")
_ETAG = r'(?:W/)?"[!#-~]{0,80}"'
WAIT = re.compile(r"\bwait=([0-9]{1,4})\b")
# type of a header that may be missing: it is never null, and generated clients would send a default of its schema
Absent = SkipJsonSchema[None]


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Wired = Annotated[Services, Depends(_services)]


async def _reading(services: Wired) -> AsyncIterator[Session]:
    async with _ending_in_a_thread(services.database.read()) as session:
        yield session


async def _writing(services: Wired) -> AsyncIterator[Session]:
    async with _ending_in_a_thread(services.database.write()) as session:
        yield session


@asynccontextmanager
async def _ending_in_a_thread(transaction: AbstractContextManager[Session]) -> AsyncIterator[Session]:
    """The session of `transaction`, which begins here: that waits for nothing, as no statement is sent yet."""
    session = transaction.__enter__()
    try:
        yield session
    except BaseException as error:
        await _end(transaction, error)
        raise
    await _end(transaction, None)


async def _end(context: AbstractContextManager[Any], error: BaseException | None) -> None:
    """End `context` in an extra thread: all threads of the pool may be waiting for the connection that it frees."""
    with CancelScope(shield=True):
        raised = (type(error), error, error.__traceback__) if error else (None, None, None)
        await run_sync(context.__exit__, *raised, limiter=CapacityLimiter(1))


@asynccontextmanager
async def in_threads(
    context: AbstractContextManager[Entered],
    begin: Callable[[Callable[[], Entered]], Awaitable[Entered]] = run_sync,
) -> AsyncIterator[Entered]:
    """What `context` yields. It begins and ends in threads, because it waits for a database, a disk or a store.

    begin: Calls a function in a thread.
    """
    entered = await begin(context.__enter__)
    try:
        yield entered
    except BaseException as error:
        await _end(context, error)
        raise
    await _end(context, None)


async def _head(
    request: Request,
    idempotency_key: Annotated[
        str | Absent,
        Header(
            min_length=1, max_length=255, description="The same key with the same body gives the first answer again."
        ),
    ] = None,
) -> IdempotentRequest:
    """The request without its body: for a route that takes a file, which is hashed while it is received."""
    if len(request.headers.getlist("idempotency-key")) > 1:
        raise invalid("invalid-idempotency-key", "There are several keys.", "Send one.", "header:idempotency-key")
    head = f"{request.method} {request.url.path}?{request.url.query}\n".encode()
    return IdempotentRequest(idempotency_key, hashlib.sha256(head).hexdigest())


async def _once(request: Request, head: Annotated[IdempotentRequest, Depends(_head)]) -> IdempotentRequest:
    return head.with_body(await request.body())


async def _existing(
    id_: Annotated[str, Path(alias="id", json_schema_extra={"pattern": f"^{ID.pattern}$"})],
) -> str:
    """The id in a path. Raises `NotFound` for an id that cannot exist: a NUL would cause an error in the database."""
    if not ID.fullmatch(id_):
        raise NotFound("resource", id_ if id_.isprintable() else "?")
    return id_


async def _existing_model(
    id_: Annotated[str, Path(alias="id", json_schema_extra={"pattern": f"^{MODEL.pattern}$"})],
) -> str:
    """The name of a model in a path, also of another tenant. Raises `NotFound` for one that cannot exist."""
    if not MODEL.fullmatch(id_):
        raise NotFound("resource", id_ if id_.isprintable() else "?")
    return id_


async def _which(
    which: Annotated[
        str,
        Path(
            description="Version by number or alias: 3, @champion.",
            json_schema_extra={"pattern": f"^@?{NAME.pattern}$"},
        ),
    ],
) -> str:
    """The version of a model in a path, by number or alias. Raises `NotFound` for one that cannot exist."""
    if not NAME.fullmatch(which.removeprefix("@")):
        raise NotFound("version", which if which.isprintable() else "?")
    return which


def check_new(name: str, pointer: str) -> None:
    """Raise `Invalid` if an uploaded file cannot have this name. The hint has one that it can have."""
    check_name(name, pointer, example=id_of_file(name))


_ETAG_LIST = re.compile(rf"\*|{_ETAG}(?:\s*,\s*(?:{_ETAG})?)*")
_ETAGS = rf"^(\*|{_ETAG}(, *{_ETAG})*)$"


async def _if_match(
    request: Request,
    if_match: Annotated[
        str | Absent,
        Header(
            description="The ETags of which the resource must still have one; * if it must exist.",
            json_schema_extra={"pattern": _ETAGS},
        ),
    ] = None,
    if_none_match: Annotated[
        str | Absent,
        Header(
            description="The ETags of which the resource must have none; * if it must not exist.",
            json_schema_extra={"pattern": _ETAGS},
        ),
    ] = None,
) -> IfMatch:
    """The condition of a request. One that has no ETag of this service matches nothing, and neither does a weak one.

    A header that is sent twice counts as one list, as HTTP has it. No resource meets an
    If-None-Match that is no list of ETags.
    """
    strong, weak = r'(?<!W/)"([^"]*)"(?=\s*(?:,|$))', r'"([^"]*)"(?=\s*(?:,|$))'
    excluded = _header(request, "if-none-match")
    if excluded is not None and not _ETAG_LIST.fullmatch(excluded):
        return IfMatch(frozenset())
    return IfMatch(_tags(_header(request, "if-match"), strong), _tags(excluded, weak))


def _header(request: Request, name: str) -> str | None:
    return ", ".join(request.headers.getlist(name)).strip() if name in request.headers else None


def _tags(text: str | None, pattern: str) -> frozenset[str] | None:
    """The ETags in the text of a header, without the hashes of documents, or None without this header."""
    if text is None:
        return None
    return frozenset([EVERY] if text == "*" else (HASH.sub("", tag) for tag in re.findall(pattern, text)))


async def _preferred_wait(
    prefer: Annotated[
        str, Header(description="wait=30 answers when the job has ended, or after 30 s; at most 60.")
    ] = "",
) -> float:
    match = WAIT.search(prefer)
    return min(int(match[1]), 60) if match else 0


# One transaction for the whole request. It ends before the answer is sent: so the answer states what is committed,
# and a client that reads slowly occupies no database connection.
Reading = Annotated[Session, Depends(_reading, scope="function")]
Writing = Annotated[Session, Depends(_writing, scope="function")]
OnceOnly = Annotated[IdempotentRequest, Depends(_once)]
OnceSent = Annotated[IdempotentRequest, Depends(_head)]
Id = Annotated[str, Depends(_existing)]
ModelId = Annotated[str, Depends(_existing_model)]
Which = Annotated[str, Depends(_which)]
Condition = Annotated[IfMatch, Depends(_if_match)]
PreferredWait = Annotated[float, Depends(_preferred_wait)]
Wait = Annotated[float, Query(ge=0, le=60, description="Seconds to wait for the end of the job.")]
_NEW: dict[str, Any] = {"description": "A name that you choose.", "json_schema_extra": {"pattern": f"^{NAME.pattern}$"}}
_Checked = checked(lambda name: check_new(name, ""))
NewId = Annotated[str, Path(alias="id", **_NEW), _Checked]
UploadId = Annotated[
    str | None,
    Query(alias="upload", pattern=uploads.ID, description="Id of an upload of /v1/uploads, instead of a body."),
]


def own_address(request: Request) -> str:
    """The address of the service in links: CANEMAP_PUBLIC_URL, or else the one to which the request was sent."""
    settings = request.app.state.services.settings
    return settings.public_url or str(request.base_url).rstrip("/")


async def _address(request: Request) -> str:
    return own_address(request)


Address = Annotated[str, Depends(_address)]


def link_next(request: Request, response: Response, token: str | None) -> str | None:
    """The URL of the next page, or None on the last page. It is also set as the header Link of `response`."""
    if not token:
        return None
    query = request.url.include_query_params(token=token).query
    href = f"{own_address(request)}{request.url.path}?{query}"
    response.headers["Link"] = f'<{href}>; rel="next"'
    return href


def etag(response: Response, tag: str) -> None:
    """Set the header ETag of a resource that can change."""
    response.headers["ETag"] = f'"{tag}"'


async def known_query(request: Request) -> None:
    """Refuse a query parameter that the route does not have, so that a typing error is noticed, and one given twice.

    Control characters are refused too, because PostgreSQL cannot store a NUL.
    """
    check_query(request)
