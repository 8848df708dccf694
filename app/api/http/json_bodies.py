"""JSON bodies, read with bounded work before a model is made of them.

pydantic makes an error for each wrong value, and FastAPI copies all of them. So the number of values is limited first,
and what no model may hold is refused in one place.
"""

import json
import math
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool

from app.core.errors import Invalid, Unreadable, invalid, refuse_any
from ml.faults import Fault
from ml.text import is_one_line, is_storable, values_in

MOST_VALUES = 50_000  # twice what the largest dataset needs
MOST_DEPTH = 32
LARGE_BYTES = 64 * 1024  # a larger body is read in a thread, so that other requests are answered meanwhile
_LARGEST = 2**63
_JSON = re.compile(r"application/([a-z0-9.-]+\+)?json\s*(;|$)", re.IGNORECASE)


class JsonRoute(APIRoute):
    """A route whose JSON body is read by `read_json`."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        """The handler of FastAPI, which asks this request for its JSON."""
        handle, has_body = super().get_route_handler(), self.body_field is not None

        async def handle_limited(request: Request) -> Response:
            if has_body:
                _check_type(request)
            return await handle(_LimitedRequest(request.scope, request.receive))

        return handle_limited


def _check_type(request: Request) -> None:
    """Raise `Invalid` for a body that its sender does not call JSON, as curl does not by itself."""
    kind, empty = request.headers.get("content-type", ""), request.headers.get("content-length", "0") == "0"
    if _JSON.match(kind) or (empty and "transfer-encoding" not in request.headers):
        return
    detail = f"The body is sent as {kind[:80]!r}." if is_one_line(kind) and kind else "The body is sent without a type."
    hint = "Send JSON, and say so: curl -H 'Content-Type: application/json' -d '{...}'"
    raise invalid("invalid-content-type", detail, hint, "header:content-type")


class _LimitedRequest(Request):
    async def json(self) -> Any:
        content = await self.body()
        if len(content) > LARGE_BYTES:
            return await run_in_threadpool(read_json, content)
        return read_json(content)


def read_json(content: bytes | str) -> Any:
    """The value of a JSON document.

    Raises `Unreadable` for what is not JSON or names a key twice, and `Invalid` for over `MOST_VALUES` values or
    `MOST_DEPTH` levels, for control characters, lone surrogates, and numbers that are not finite or have over 64 bits.
    """
    _check_size(content)
    try:
        value = json.loads(content, object_pairs_hook=_without_repetition)
    except (ValueError, RecursionError) as error:
        detail = str(error) if isinstance(error, _Repeated) else "The body is not valid JSON."
        raise Unreadable("invalid-json", detail) from error
    refuse_any("invalid-request", _faults(value))
    return value


def _check_size(content: bytes | str) -> None:
    """Count values by what separates them, which takes milliseconds; a separator inside a text counts too."""
    counted = content if isinstance(content, bytes) else content.encode(errors="replace")
    if sum(counted.count(separator) for separator in (b",", b"[", b"{")) > MOST_VALUES:
        hint = "Send less at once."
        raise Invalid("too-many-values", Fault("too_many_values", f"The body has over {MOST_VALUES} values.", hint))


class _Repeated(ValueError):
    """A key stands twice in one object: readers disagree on which of the two values counts."""


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise _Repeated("A key stands twice in one object of the body.")
    return made


def _faults(value: object) -> Iterator[Fault]:
    for pointer, found in values_in(value):
        if isinstance(found, str) and not is_storable(found):
            where = pointer if is_storable(pointer) else ""
            yield Fault("invalid_text", "The text holds control characters.", "Remove them.", where)
        elif isinstance(found, float) and not math.isfinite(found):
            yield Fault("finite_number", "The number is not finite.", "Write a finite number.", pointer)
        elif isinstance(found, int) and abs(found) >= _LARGEST:
            yield Fault("int_too_large", "The number has over 64 bits.", "Write a smaller number.", pointer)
        if pointer.count("/") > MOST_DEPTH:
            hint = "See /docs for what is allowed here."
            raise Invalid("invalid-request", Fault("too_deep", f"The body is over {MOST_DEPTH} levels deep.", hint))
