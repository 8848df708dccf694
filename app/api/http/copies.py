"""304 for a client that still has the newest copy, by the headers ETag and If-None-Match, for every GET.

The ETag of a resource is its revision, for If-Match. A document also tells what does not change the revision, like the
progress of a job, and depends on the language. So a hash of the document is added to its ETag, and If-Match does not
look at it.
"""

import hashlib
import re
from typing import Annotated

from fastapi import FastAPI, Header
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.http.languages import is_document

_HASH_CHARS = 16
HASH = re.compile(rf"\.[0-9a-f]{{{_HASH_CHARS}}}$")  # in the ETag of a document
_OF_CONTENT = ("content-length", "content-type", "content-range", "content-disposition", "content-encoding")
IfNoneMatch = Annotated[str, Header(description="ETag of the copy that the client has.")]


class Copies:
    """ASGI middleware that answers 304 without content where If-None-Match has the ETag of the answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            send = _Answer(scope, send)
        await self.app(scope, receive, send)


class _Answer:
    """Sends an answer on. It keeps the start of a document with an ETag until the body is there."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.send = send
        self.asked = copies_of(scope)
        self.start: Message | None = None
        self.over = False

    async def __call__(self, message: Message) -> None:
        """Send a message of the application, keep it, or drop it after 304."""
        if self.over:
            return
        if message["type"] == "http.response.start":
            if _has_tag(message) and is_document(message):
                self.start = message
            else:
                await self._begin(message)
            return
        if self.start is not None:
            start, self.start = self.start, None
            if message["type"] == "http.response.body" and not message.get("more_body"):
                headers = MutableHeaders(scope=start)
                digest = hashlib.sha256(message.get("body", b"")).hexdigest()[:_HASH_CHARS]
                headers["etag"] = f'{headers["etag"][:-1]}.{digest}"'
            await self._begin(start)
        if not self.over:
            await self.send(message)

    async def _begin(self, start: Message) -> None:
        if _has_tag(start) and has_copy(self.asked, Headers(scope=start)["etag"]):
            headers = MutableHeaders(scope=start)
            for name in _OF_CONTENT:
                del headers[name]
            self.over = True
            await self.send({**start, "status": 304})
            await self.send({"type": "http.response.body", "body": b""})
        else:
            await self.send(start)


def _has_tag(start: Message) -> bool:
    return start["status"] in (200, 201, 206) and "etag" in Headers(scope=start)


def copies_of(scope: Scope) -> str:
    """Return If-None-Match of a GET or HEAD request; "" if it has none, and for other methods."""
    return ", ".join(Headers(scope=scope).getlist("if-none-match")) if scope["method"] in ("GET", "HEAD") else ""


def has_copy(if_none_match: str, etag: str) -> bool:
    """Whether a client has the answer with this ETag. if_none_match: its header If-None-Match."""
    return if_none_match.strip() == "*" or etag in re.findall(r'"[^"]*"', if_none_match)


def install(app: FastAPI) -> None:
    """Answer 304 where a client has the newest copy."""
    app.add_middleware(Copies)
