"""What the body of any request may cost: its size, and the patience of the service.

uvicorn waits for ever for a slow body, and FastAPI holds a JSON body in memory, whatever its size.
"""

import asyncio

from fastapi import FastAPI, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.errors import TooLarge, TooSlow

DOCUMENT_LIMIT_BYTES = 8 * 1024**2  # of bodies that are no uploads
LEAST_BYTES_PER_S = 1024
KEY = "canemap.body"


def allow(request: Request, limit_bytes: int) -> None:
    """Let the body of `request` be an upload of so many bytes, and what a form adds to a file."""
    request.scope[KEY].limit_bytes = limit_bytes + DOCUMENT_LIMIT_BYTES


class _Body:
    """A body on its way: `receive` of ASGI, which raises `TooLarge` and `TooSlow`."""

    def __init__(self, receive: Receive, idle_s: float) -> None:
        self.inner, self.idle_s, self.limit_bytes = receive, idle_s, DOCUMENT_LIMIT_BYTES
        self.size, self.complete = 0, False
        self._renew()

    def _renew(self) -> None:
        self.lately, self.left_s = 0, self.idle_s

    async def receive(self) -> Message:
        if self.complete:  # then it is waited for the client to go, however long that takes
            return await self.inner()
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self.left_s):  # not wait_for: that makes a task of each of many small chunks
                message = await self.inner()
        except TimeoutError as error:
            detail = f"Less than {LEAST_BYTES_PER_S} bytes a second arrived for {self.idle_s:g} s."
            raise TooSlow("upload-stalled", detail) from error
        # only time spent waiting counts: the client does not pay for a slow disk of ours
        self.left_s -= asyncio.get_running_loop().time() - began
        self._count(len(message.get("body", b"")))
        self.complete = not message.get("more_body", False)
        return message

    def _count(self, arrived: int) -> None:
        self.size += arrived
        self.lately += arrived
        if self.size > self.limit_bytes:
            raise TooLarge("body-too-large", f"The body is over the limit of {self.limit_bytes} bytes.")
        if self.lately >= LEAST_BYTES_PER_S * self.idle_s:
            self._renew()


class BodyLimits:
    """Plain ASGI; what it raises comes out where a body is read, and is answered as any problem is."""

    def __init__(self, app: ASGIApp, idle_s: float) -> None:
        self.app, self.idle_s = app, idle_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            scope[KEY] = body = _Body(receive, self.idle_s)
            receive = body.receive
        await self.app(scope, receive, send)


def install(app: FastAPI, idle_s: float) -> None:
    """Limit every body. idle_s: less than LEAST_BYTES_PER_S for so long is too slow."""
    app.add_middleware(BodyLimits, idle_s=idle_s)
