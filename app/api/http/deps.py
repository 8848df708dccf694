"""What the routes ask of a request: services, pages, names, preconditions, idempotency.

What every request goes through is `async`, though it waits for nothing: FastAPI sends the rest to a thread each.
"""

import hashlib
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Header, Path, Query, Request, Response

from app.core.errors import Invalid, NotFound, PreconditionFailed, invalid
from app.core.idempotency import Once
from app.core.names import NAME, printable
from app.data.scenes import BBox, Interval, parse_acquired
from app.data.uploads import ID
from app.services import Services
from ml.faults import Fault

REVISION_DIGITS = 18  # more than any has that this service gave

# all asynchronous, though nothing in them waits: a plain function would cost each request a hop to a thread


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


async def _once(request: Request, idempotency_key: Annotated[str | None, Header(max_length=255)] = None) -> Once:
    head = f"{request.method} {request.url.path}?{request.url.query}\n".encode()
    return Once(idempotency_key, hashlib.sha256(head + await request.body()).hexdigest())


async def _existing(id_: Annotated[str, Path(alias="id")]) -> str:
    """An id in a path. One that cannot exist is not looked up: a NUL would be an error of the database."""
    if not NAME.fullmatch(id_.replace(":", "-")):
        raise NotFound("resource", id_ if id_.isprintable() else "?")
    return id_


async def _if_match(if_match: Annotated[str | None, Header()] = None) -> int | None:
    if if_match is None or if_match.strip() == "*":
        return None
    revision = if_match.strip().removeprefix("W/").strip('"')
    if not revision.isdecimal() or len(revision) > REVISION_DIGITS:
        raise PreconditionFailed("etag-unknown", "If-Match names no ETag that this service gave.")
    return int(revision)


async def _bbox(
    bbox: Annotated[str | None, Query(description="west,south,east,north in degrees")] = None,
) -> BBox | None:
    if bbox is None:
        return None
    try:
        west, south, east, north = (float(part) for part in bbox.split(","))
    except ValueError:
        west, south, east, north = 1, 1, -1, -1
    if not (-180 <= west <= east <= 180 and -90 <= south <= north <= 90):
        raise invalid(
            "invalid-bbox", "bbox is not a box on the globe.", "Write west,south,east,north in degrees.", "/bbox"
        )
    return west, south, east, north


async def _between(
    interval: Annotated[str | None, Query(alias="datetime", description="time, or start/end with ..")] = None,
) -> Interval:
    if interval is None:
        return None, None
    start, slash, end = interval.partition("/")
    return _moment(start), _moment(end if slash else start)


def _moment(text: str) -> datetime | None:
    return None if text in ("", "..") else parse_acquired(text)


Wired = Annotated[Services, Depends(_services)]
OnceOnly = Annotated[Once, Depends(_once)]
Id = Annotated[str, Depends(_existing)]
IfMatch = Annotated[int | None, Depends(_if_match)]
InBox = Annotated[BBox | None, Depends(_bbox)]
Between = Annotated[Interval, Depends(_between)]
Limit = Annotated[int, Query(ge=1, le=1000, description="Most items of a page.")]
Token = Annotated[str | None, Query(max_length=500, description="`next` of the page before.")]
Wait = Annotated[float, Query(ge=0, le=60, description="Seconds to wait for the job to end.")]


def link_next(request: Request, response: Response, token: str | None) -> str | None:
    """The address of the next page, if there is one; the Link header names it too."""
    if not token:
        return None
    href = str(request.url.include_query_params(token=token))
    response.headers["Link"] = f'<{href}>; rel="next"'
    return href


# where a file can be sent: the id of an upload that came in pieces
InPieces = Annotated[
    str | None,
    Query(alias="upload", pattern=ID, description="An upload of /v1/uploads, in place of a body."),
]


def etag(response: Response, revision: int) -> None:
    """The ETag of a thing that can change."""
    response.headers["ETag"] = f'"{revision}"'


async def known_query(request: Request) -> None:
    """Refuse a query parameter that the route does not know: a typing error must not pass in silence.

    Nor must control characters: PostgreSQL cannot keep a NUL.
    """
    for name, value in request.query_params.multi_items():
        printable(value, f"query:{name}" if name.isprintable() else "query")
    path = request.app.openapi()["paths"].get(request.scope["route"].path, {})
    parameters = path.get(request.method.lower(), {}).get("parameters", [])
    known = {parameter["name"] for parameter in parameters if parameter["in"] == "query"}
    faults = [
        Fault(
            "unknown_parameter", f"There is no parameter {name!r} here.", f"Known: {', '.join(sorted(known))}.", "query"
        )
        for name in request.query_params
        if name not in known
    ]
    if faults:
        raise Invalid("unknown-parameter", *faults)
