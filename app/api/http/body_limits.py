"""Limits for the body of every request: its size, and how slowly it may arrive.

They are needed because uvicorn waits for ever for a slow body, and FastAPI keeps a JSON body of any size in memory.
"""

import asyncio

from fastapi import FastAPI, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.errors import TooLarge, TooSlow

DOCUMENT_LIMIT_BYTES = 8 * 1024**2  # for bodies that are not uploads
LEAST_BYTES_PER_S = 1024
KEY = "canemap.body"


def allow(request: Request, limit_bytes: int) -> None:
    """Raise the limit for the body of `request` to an upload of `limit_bytes`, plus what a form adds to a file."""
    request.scope[KEY].limit_bytes = limit_bytes + DOCUMENT_LIMIT_BYTES


class _Body:
    """The body of one request. Its `receive` is that of ASGI, but raises `TooLarge` and `TooSlow`."""

    def __init__(self, receive: Receive, idle_s: float) -> None:
        self.inner, self.idle_s, self.limit_bytes = receive, idle_s, DOCUMENT_LIMIT_BYTES
        self.size, self.complete = 0, False
        self._renew()

    def _renew(self) -> None:
        self.recent, self.left_s = 0, self.idle_s

    async def receive(self) -> Message:
        if self.complete:  # the next message is that the client disconnects, which may come at any time
            return await self.inner()
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self.left_s):  # wait_for would make a task for each small chunk
                message = await self.inner()
        except TimeoutError as error:
            detail = f"Less than {LEAST_BYTES_PER_S} bytes a second arrived for {self.idle_s:g} s."
            raise TooSlow("upload-stalled", detail) from error
        # only time spent waiting for the client counts, not the time that a slow disk of the service takes
        self.left_s -= asyncio.get_running_loop().time() - began
        self._count(len(message.get("body", b"")))
        self.complete = not message.get("more_body", False)
        return message

    def _count(self, arrived: int) -> None:
        self.size += arrived
        self.recent += arrived
        if self.size > self.limit_bytes:
            raise TooLarge("body-too-large", f"The body is over the limit of {self.limit_bytes} bytes.")
        if self.recent >= LEAST_BYTES_PER_S * self.idle_s:
            self._renew()


class BodyLimits:
    """ASGI middleware. Its errors are raised where a route reads the body, and are answered like any other problem."""

    def __init__(self, app: ASGIApp, idle_s: float) -> None:
        self.app, self.idle_s = app, idle_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, with a limited body."""
        if scope["type"] == "http":
            scope[KEY] = body = _Body(receive, self.idle_s)
            receive = body.receive
        await self.app(scope, receive, send)


def install(app: FastAPI, idle_s: float) -> None:
    """Limit the body of every request. It is refused if slower than LEAST_BYTES_PER_S for `idle_s` seconds."""
    app.add_middleware(BodyLimits, idle_s=idle_s)
