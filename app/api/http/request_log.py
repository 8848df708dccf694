"""One log line and one measurement for each request, under the id that the answer carries as X-Request-ID."""

import secrets
import time

import structlog
from fastapi import FastAPI
from prometheus_client import Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger()
SECONDS = Histogram("canemap_request_seconds", "Time until the answer was sent", ["method", "route", "status"])
POLLED = ("/healthz", "/readyz", "/metrics")  # by machines, all the time


class RequestLog:
    """Plain ASGI, so that streamed bodies and answers pass untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id, start, status = secrets.token_hex(8), time.perf_counter(), 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        with structlog.contextvars.bound_contextvars(request=request_id):
            try:
                await self.app(scope, receive, sending)
            finally:
                seconds = time.perf_counter() - start
                # the route's pattern, not the path: ids would make a series each
                route = getattr(scope.get("route"), "path", "none")
                SECONDS.labels(scope["method"], route, status).observe(seconds)
                tell = log.debug if route in POLLED else log.info
                tell("request", method=scope["method"], path=scope["path"], status=status, seconds=round(seconds, 4))


def install(app: FastAPI) -> None:
    """Log every request of `app`."""
    app.add_middleware(RequestLog)
