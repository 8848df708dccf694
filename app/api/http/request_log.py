"""One log line and one measurement for each request. The line has the id that the answer has as X-Request-ID."""

import secrets
import time

import structlog
from fastapi import FastAPI
from prometheus_client import Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger()
SECONDS = Histogram("canemap_request_seconds", "Time until the answer was sent", ["method", "route", "status"])
POLLED = ("/healthz", "/readyz", "/metrics")  # by monitoring, all the time


class RequestLog:
    """Plain ASGI middleware, so that streamed bodies and answers pass through unchanged."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, and log it."""
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
                # the pattern of the route, not the path: each id would make a time series
                route = getattr(scope.get("route"), "path", "none")
                SECONDS.labels(scope["method"], route, status).observe(seconds)
                write = log.debug if route in POLLED else log.info
                write("request", method=scope["method"], path=scope["path"], status=status, seconds=round(seconds, 4))


def install(app: FastAPI) -> None:
    """Log every request of `app`."""
    app.add_middleware(RequestLog)
