"""Which web pages of other sites may read answers (CORS): none, unless the operator names them.

They may read, search the catalogue, and upload in pieces with a key, but change nothing else: `app.api.http.callers`
refuses that.
"""

from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

OF_TUS = "Tus-Version, Tus-Extension, Tus-Max-Size, Tus-Checksum-Algorithm"
OF_UPLOADS = "Tus-Resumable, Upload-Offset, Upload-Length, Upload-Defer-Length, Upload-Metadata"
OF_THE_DRAFT = "Upload-Complete, Upload-Draft-Interop-Version"
READABLE = (
    "Accept-Patch, Accept-Ranges, Content-Disposition, Content-Length, Content-Location, Content-Range, ETag, Link, "
    f"Location, RateLimit, RateLimit-Policy, Repr-Digest, Retry-After, {OF_TUS}, {OF_UPLOADS}, Upload-Complete, "
    "Upload-Expires, Upload-Limit"
)
ALLOWED = {
    "Access-Control-Allow-Methods": "DELETE, GET, HEAD, OPTIONS, PATCH, POST",
    "Access-Control-Allow-Headers": "Accept, Authorization, Content-Digest, Content-Type, Idempotency-Key, "
    f"If-None-Match, Range, Repr-Digest, Want-Repr-Digest, {OF_UPLOADS}, {OF_THE_DRAFT}, Upload-Checksum, "
    "X-HTTP-Method-Override, X-Request-ID, X-Requested-With",
    "Access-Control-Max-Age": "86400",
}


class Cors:
    """ASGI middleware that lets the pages of some origins read answers.

    Every answer says for whom it is, also to a client without an origin: browsers keep pictures of `<img>`, and would
    else give them to a script that may not read them, or refuse it one that it may read.
    """

    def __init__(self, app: ASGIApp, origins: tuple[str, ...]) -> None:
        self.app, self.origins, self.everybody = app, set(origins), "*" in origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. What a browser asks before a request of its own is answered here."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        shared = self._shared(headers.get("origin", ""))

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent = MutableHeaders(scope=message)
                sent.update(shared)
                if not self.everybody:
                    sent.add_vary_header("Origin")
            await send(message)

        asks = scope["method"] == "OPTIONS" and "access-control-request-method" in headers
        answer: ASGIApp = Response(status_code=204, headers=ALLOWED) if asks else self.app
        await answer(scope, receive, sending)

    def _shared(self, origin: str) -> dict[str, str]:
        if not (self.everybody or origin in self.origins):
            return {}
        allowed = "*" if self.everybody else origin
        return {"Access-Control-Allow-Origin": allowed, "Access-Control-Expose-Headers": READABLE}


def install(app: FastAPI, origins: tuple[str, ...]) -> None:
    """Let the pages of `origins` read the answers of `app`."""
    if origins:
        app.add_middleware(Cors, origins=origins)
