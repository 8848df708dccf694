"""Answers in the language of whoever asks, by the header Accept-Language."""

import json

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.language import choice
from app.language.catalogue import translated

MOST_BYTES = 4 << 20  # of a document; larger ones are data, not texts
DOCUMENTS = ("application/json", "application/problem+json", "application/geo+json")


class Languages:
    """ASGI middleware that translates the texts of JSON documents for a client that prefers Chinese."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        language = choice.of_header(Headers(scope=scope).get("accept-language", ""))
        await self.app(scope, receive, _Translator(send, language) if language == "zh" else _varying(send))


class _Translator:
    """Sends an answer on. It keeps the start of a document until the body is there, whose length may change."""

    def __init__(self, send: Send, language: choice.Language) -> None:
        self.send, self.language = send, language
        self.start: Message | None = None

    async def __call__(self, message: Message) -> None:
        """Send a message of the application, or keep it."""
        if message["type"] == "http.response.start" and is_document(message):
            self.start = message
            return
        start, self.start = self.start, None
        if start is not None and message["type"] == "http.response.body":
            message = await run_in_threadpool(self._told, start, message)
        if start is not None:
            MutableHeaders(scope=start).add_vary_header("Accept-Language")
            await self.send(start)
        await self.send(message)

    def _told(self, start: Message, message: Message) -> Message:
        """The body in the client's language, if it is a whole document; it is data if it comes in pieces."""
        body = message.get("body", b"")
        if message.get("more_body") or not 0 < len(body) <= MOST_BYTES:
            return message
        told = json.dumps(translated(json.loads(body)), ensure_ascii=False, separators=(",", ":")).encode()
        headers = MutableHeaders(scope=start)
        headers["content-length"], headers["content-language"] = str(len(told)), self.language
        return {**message, "body": told}


def _varying(send: Send) -> Send:
    """Send an answer on, and tell caches that a document depends on the language."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start" and is_document(message):
            MutableHeaders(scope=message).add_vary_header("Accept-Language")
        await send(message)

    return sent


def is_document(start: Message) -> bool:
    """Whether an answer is a document of the service, and no stored file, of which a client may ask for some bytes."""
    headers = Headers(scope=start)
    return headers.get("content-type", "").partition(";")[0] in DOCUMENTS and "accept-ranges" not in headers


def install(app: FastAPI) -> None:
    """Answer in the language that a client prefers."""
    app.add_middleware(Languages)
