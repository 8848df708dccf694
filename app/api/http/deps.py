"""What the routes ask of a request: services, a session, names, preconditions, idempotency.

What every request goes through is `async`, though it waits for nothing: FastAPI sends the rest to a thread each.
"""

import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Annotated, Any

from anyio import CancelScope, CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import Depends, Header, Path, Query, Request, Response
from pydantic import AfterValidator
from sqlalchemy.orm import Session

from app.core.errors import Invalid, NotFound, PreconditionFailed
from app.core.idempotency import IdempotentRequest
from app.core.names import ID, NAME, check_name, printable
from app.data import uploads
from app.services import Services
from ml.faults import Fault

ETAG = re.compile(r'\s*(?:W/)?"?([0-9]{1,18})"?\s*')  # more digits than any has that this service gave
_ETAGS = r'^(\*|(W/)?"[0-9]{1,18}")$'
WAIT = re.compile(r"\bwait=([0-9]{1,4})\b")


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
    """The session of `transaction`. Its begin waits for nothing: the database hears of it with the first statement."""
    session = transaction.__enter__()
    try:
        yield session
    except BaseException as error:
        await _end(transaction, error)
        raise
    await _end(transaction, None)


async def _end(transaction: AbstractContextManager[Session], error: BaseException | None) -> None:
    """In a thread beyond those of the pool, which may all wait for the connection that this gives back."""
    with CancelScope(shield=True):
        what = (type(error), error, error.__traceback__) if error else (None, None, None)
        await run_sync(transaction.__exit__, *what, limiter=CapacityLimiter(1))


async def _once(
    request: Request,
    idempotency_key: Annotated[
        str, Header(max_length=255, description="Sent again, the same key and body give the first answer again.")
    ] = "",
) -> IdempotentRequest:
    head = f"{request.method} {request.url.path}?{request.url.query}\n".encode()
    return IdempotentRequest(idempotency_key or None, hashlib.sha256(head + await request.body()).hexdigest())


async def _existing(
    id_: Annotated[str, Path(alias="id", json_schema_extra={"pattern": f"^{ID.pattern}$"})],
) -> str:
    """An id in a path. One that cannot exist is not looked up: a NUL would be an error of the database."""
    if not ID.fullmatch(id_):
        raise NotFound("resource", id_ if id_.isprintable() else "?")
    return id_


async def _if_match(
    if_match: Annotated[
        str, Header(description="The ETag that must still hold.", json_schema_extra={"pattern": _ETAGS})
    ] = "*",
) -> int | None:
    if if_match.strip() == "*":
        return None
    if not (match := ETAG.fullmatch(if_match)):
        raise PreconditionFailed("etag-unknown", "If-Match names no ETag that this service gave.")
    return int(match[1])


async def _patience(
    prefer: Annotated[str, Header(description="wait=30: answer when the job has ended, or after 30 seconds.")] = "",
) -> float:
    match = WAIT.search(prefer)
    return min(int(match[1]), 60) if match else 0


# One state of the registry for the whole request. Both end before the answer is sent: what it tells is committed then,
# and a client that reads slowly holds no connection.
Reading = Annotated[Session, Depends(_reading, scope="function")]
Writing = Annotated[Session, Depends(_writing, scope="function")]
OnceOnly = Annotated[IdempotentRequest, Depends(_once)]
Id = Annotated[str, Depends(_existing)]
IfMatch = Annotated[int | None, Depends(_if_match)]
Patience = Annotated[float, Depends(_patience)]
Wait = Annotated[float, Query(ge=0, le=60, description="Seconds to wait for the job to end.")]
_NEW: dict[str, Any] = {"description": "A name of your choice.", "json_schema_extra": {"pattern": f"^{NAME.pattern}$"}}
_Checked = AfterValidator(lambda name: check_name(name, "path:name"))
NewId = Annotated[str, Path(alias="id", **_NEW), _Checked]
# where a file can be sent: the id of an upload that came in pieces
InPieces = Annotated[
    str | None,
    Query(alias="upload", pattern=uploads.ID, description="An upload of /v1/uploads, in place of a body."),
]


def link_next(request: Request, response: Response, token: str | None) -> str | None:
    """The address of the next page, if there is one; the Link header names it too."""
    if not token:
        return None
    href = str(request.url.include_query_params(token=token))
    response.headers["Link"] = f'<{href}>; rel="next"'
    return href


def etag(response: Response, revision: int) -> None:
    """The ETag of a thing that can change."""
    response.headers["ETag"] = f'"{revision}"'


async def known_query(request: Request) -> None:
    """Refuse a query parameter that the route does not know: a typing error must not pass in silence.

    Nor must control characters: PostgreSQL cannot keep a NUL.
    """
    for name, value in request.query_params.multi_items():
        printable(value, f"query:{name}" if name.isprintable() else "query")
    known = _known(request)
    faults = [
        Fault("unknown_parameter", f"There is no parameter {name!r} here.", f"Known: {', '.join(known)}.", "query")
        for name in request.query_params
        if name not in known
    ]
    if faults:
        raise Invalid("unknown-parameter", *faults)


def _known(request: Request) -> list[str]:
    path = request.app.openapi()["paths"].get(request.scope["route"].path, {})
    operation = path.get(request.method.lower()) or path.get("get", {})
    return sorted(parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "query")
