"""Errors as RFC 9457 problem documents.

One table maps the classes of problems to status codes. No document repeats the values that the client sent.
"""

from dataclasses import replace
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import Counter
from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app.api.http.heads import methods_of
from app.api.http.parameters import code_of, faults_of, placed
from app.api.http.rate_limit_fields import fields_of
from app.core import errors, tenancy
from app.core.errors import ProblemDocument, document, refusal
from app.core.room import no_room, says_no_room
from ml.faults import MOST_FAULTS, InputRefused, first_faults, told

log = structlog.get_logger()
REFUSALS = Counter("canemap_refusals", "Requests that were refused for a limit", ["tenant", "limit"])

STATUS: dict[type[errors.Problem], int] = {
    errors.Unreadable: 400,
    errors.Forbidden: 403,
    errors.NeverFits: 413,
    errors.StorageFull: 507,
    errors.OverQuota: 429,
    errors.NotFound: 404,
    errors.NotReady: 404,
    errors.TooSlow: 408,
    errors.Conflict: 409,
    errors.PreconditionFailed: 412,
    errors.TooLarge: 413,
    errors.Encoded: 415,
    errors.Invalid: 422,
    errors.Locked: 423,
    errors.ChecksumMismatch: 460,
    errors.Damaged: 500,
    errors.Busy: 503,
    errors.StoreAway: 503,
    errors.NoRoom: 507,
}
TITLES = {404: "Not found", 405: "Method not allowed", 400: "The request cannot be read"}
MEANINGS = {
    400: "The request cannot be read.",
    401: "The request shows no key, or one that is refused.",
    403: "The key does not allow it.",
    404: "There is no resource with this name, or its result does not exist yet.",
    408: "The body did not arrive in time.",
    409: "The state of a resource does not allow it.",
    412: "The resource has changed since you read it.",
    413: "The body is too large, or its content would be too large.",
    415: "The body has an encoding or a media type that is not supported.",
    416: "Range names bytes beyond the end of the file.",
    422: "The content is wrong; `errors` says what is wrong, where, and how to fix it.",
    423: "Another request is using the upload.",
    460: "The body does not have its checksum (tus).",
    429: "You, or your tenant, have used as much as you may; Retry-After says when to go on.",
    500: "A fault of the service; its log says which.",
    503: "A component of the service cannot be reached, or it has too much to do; try again later.",
    507: "The disk of the service is full, or your tenant has stored as much as it may.",
}
IN_BODIES = (400, 408, 413)  # problems that every route with a body can have
IN_UPLOADS = (*IN_BODIES, 404, 409, 415, 423, 503, 507)
Responses = dict[int | str, dict[str, Any]]
_CONTENT = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}


class ProblemResponse(JSONResponse):
    """An answer with a problem document (RFC 9457)."""

    media_type = "application/problem+json"


def problems(*statuses: int) -> Responses:
    """The OpenAPI description of a route that answers with problems of these status codes."""
    return {status: {"description": MEANINGS[status], "content": _CONTENT} for status in statuses}


def install(app: FastAPI) -> None:
    """Make `app` answer every error with a problem document."""
    app.add_exception_handler(errors.Problem, _problem)
    app.add_exception_handler(InputRefused, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(OperationalError, _database_unusable)
    app.add_exception_handler(OSError, _no_room_or_bug)
    app.add_exception_handler(PoolTimeout, _busy)
    app.add_exception_handler(InterfaceError, _database_away)
    app.add_exception_handler(IntegrityError, _changed_meanwhile)
    app.add_exception_handler(Exception, _bug)


def _answer(request: Request, body: ProblemDocument, headers: dict[str, str] | None = None) -> ProblemResponse:
    here = {"instance": request.url.path, "errors": tuple(placed(request, fault) for fault in body.errors)}
    return ProblemResponse(body.model_copy(update=here).model_dump(), body.status, headers)


def _problem(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, errors.Problem)
    return of_problem(request, error)


def of_problem(request: Request, error: errors.Problem, more: dict[str, str] | None = None) -> ProblemResponse:
    """The answer for an error of a use case. more: Further headers."""
    status = next(code for kind, code in STATUS.items() if isinstance(error, kind))
    if status >= 500:
        write = log.warning if isinstance(error, errors.Busy) else log.error  # that it is busy is no fault of a service
        write(error.code, detail=error.detail)
    told = error.public or error.detail
    wait = "2" if isinstance(error, errors.NotYet) else "5" if status == 503 else ""
    headers = {"Retry-After": wait} if wait else {}
    if isinstance(error, errors.OverQuota):
        headers = _headers_of(error.quota)
        REFUSALS.labels(tenancy.current(), error.quota.name).inc()
    problem = document(status, error.code, error.title, told, error.faults, error.more)
    return _answer(request, problem, headers | (more or {}))


def _headers_of(quota: errors.Quota) -> dict[str, str]:
    after = {} if quota.retry_after_s is None else {"Retry-After": str(quota.retry_after_s)}
    return after | fields_of(quota)


def _refused(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, InputRefused)
    return _answer(request, refusal(error))


def _invalid(request: Request, error: Exception) -> ProblemResponse:
    """The faults that pydantic found."""
    assert isinstance(error, RequestValidationError)
    items = error.errors()
    if items and items[0]["type"] == "json_invalid":
        return _answer(request, document(400, "invalid-json", TITLES[400], "The body is not valid JSON."))
    faults, more = first_faults(faults_of(items[:MOST_FAULTS]), max(0, len(items) - MOST_FAULTS))
    placed_details = (f"{fault.pointer}: {fault.detail}".removeprefix(": ") for fault in faults)
    detail = told((replace(fault, detail=text) for fault, text in zip(faults, placed_details, strict=True)), more)
    return _answer(request, document(422, code_of(items), errors.Invalid.title, detail, faults, more))


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 204:
        return Response(status_code=204)
    if isinstance(error.__cause__, errors.Problem):  # FastAPI wraps an error that was raised while it read a body
        return _problem(request, error.__cause__)
    title = TITLES.get(error.status_code, "The request cannot be granted")
    code, headers = title.lower().replace(" ", "-"), dict(error.headers or {})
    if error.status_code == 405:  # each route of a path knows only its own methods
        headers["Allow"] = ", ".join(methods_of(request.app, request.url.path))
    return _answer(request, document(error.status_code, code, title, str(error.detail)), headers)


def _database_unusable(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, OperationalError)
    if request.app.state.services.database.is_contended(error):
        return _contended(request, error)
    if not request.app.state.services.database.is_full(error):
        return _database_away(request, error)
    log.error("the disk of the database is full", error=str(error))
    return _problem(request, no_room("the database"))


def _no_room_or_bug(request: Request, error: Exception) -> ProblemResponse:
    if not says_no_room(error):
        raise error
    return _problem(request, no_room("the service's files"))


def _database_away(request: Request, error: Exception) -> ProblemResponse:
    log.error("database away", error=str(error))
    body = document(503, "database-away", "Not now", "The database cannot be reached; nothing was accepted.")
    return _answer(request, body, {"Retry-After": "5"})


def _busy(request: Request, error: Exception) -> ProblemResponse:
    log.warning("no connection to the database was free", error=str(error))
    body = document(503, "busy", "Not now", "The service has too much to do; nothing was accepted.")
    return _answer(request, body, {"Retry-After": "5"})


def _contended(request: Request, error: Exception) -> ProblemResponse:
    log.warning("a transaction was given up for others", error=str(error))
    detail = "Other requests were changing the same things; nothing was accepted. Send it again."
    return _answer(request, document(503, "busy", "Not now", detail), {"Retry-After": "1"})


def _changed_meanwhile(request: Request, error: Exception) -> ProblemResponse:
    """Another request has deleted, or made, something that this one names, after this one was checked."""
    log.warning("a constraint of the database refused a change", error=str(error))
    detail = "Another request changed or deleted something that this one names: read it again, then decide."
    return _answer(request, document(409, "changed-meanwhile", errors.Conflict.title, detail))


def _bug(request: Request, error: Exception) -> ProblemResponse:
    log.exception("unexpected error", path=request.url.path, exc_info=error)
    detail = "The service met an unexpected error; its log says which."
    return _answer(request, document(500, "internal-error", "Internal error", detail))
