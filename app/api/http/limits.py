"""The limits of a key in this process: they are counted before a request is served, and given back when it has ended.

Every answer to a key says what is left, in the fields of draft-ietf-httpapi-ratelimit-headers.
"""

import asyncio

from fastapi import FastAPI, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.access.meter import Kind, Meter
from app.access.scopes import Principal
from app.api.http.deps import WAIT
from app.api.http.problems import of_problem
from app.api.http.rate_limit_fields import fields_of
from app.api.http.uploads.receiving import has_body
from app.core.errors import OverQuota, Quota

AT_ONCE: dict[Kind, tuple[str, ...]] = {  # routes, by what their requests do for as long as a client likes
    "uploads": (
        "put_scene",
        "post_scene",
        "put_labels",
        "post_labels",
        "put_zones",
        "post_zones",
        "patch_upload",
        "put_upload",
        "post_version",
    ),
    "downloads": ("get_scene_data", "get_zone_features", "get_product", "get_bundle", "get_onnx"),
    "streams": ("get_events",),
}
KINDS: dict[str, Kind] = {name: kind for kind, names in AT_ONCE.items() for name in names}
TAKEN = "canemap.taken"
REFUSED_S = 0.5  # before a refusal: who asks on without a pause cannot make the service refuse all the time


class KeyLimits:
    """ASGI middleware that counts the requests of each key. Who sends a request is known already."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it. What it has taken is given back however it ends."""
        sender: Principal | None = scope.get("principal")
        if sender is None:
            await self.app(scope, receive, send)
            return
        meter: Meter = scope["app"].state.meter
        try:
            left = meter.request(sender)
        except OverQuota as refused:
            await asyncio.sleep(REFUSED_S)
            closing = {} if scope["method"] in ("GET", "HEAD") else {"Connection": "close"}  # the body is not read
            await of_problem(Request(scope), refused, closing)(scope, receive, send)
            return
        scope[TAKEN] = []
        try:
            await self.app(scope, receive, _telling(send, left) if left else send)
        finally:
            for give_back in scope[TAKEN]:
                give_back()


def _telling(send: Send, left: Quota) -> Send:
    """Send an answer on, with what is left of the requests."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            told = [(name.encode(), value.encode()) for name, value in fields_of(left).items()]
            message["headers"] = [*message["headers"], *told]
        await send(message)

    return sending


async def take_turn(request: Request) -> None:
    """Count an upload, a download or a stream until the request has ended; others wait for their turn.

    Raises `OverQuota`.
    """
    if TAKEN not in request.scope:
        return
    meter: Meter = request.app.state.meter
    kind, sender = _kind_of(request), request.scope["principal"]
    try:
        request.scope[TAKEN].append(meter.take(sender, kind) if kind else await meter.turn(sender))
    except OverQuota:
        await asyncio.sleep(REFUSED_S)
        raise


def _kind_of(request: Request) -> Kind | None:
    """What the request does at once with others of its key, if anything: also to wait for a job is a stream."""
    name = request.scope["route"].name
    if name == "post_upload" and has_body(request):  # it begins with a piece, which may be the whole file
        return "uploads"
    waits = request.query_params.get("wait", "0") != "0" or WAIT.search(request.headers.get("prefer", ""))
    return KINDS.get(name) or ("streams" if waits else None)


def install(app: FastAPI) -> None:
    """Limit what each key may do."""
    app.add_middleware(KeyLimits)
