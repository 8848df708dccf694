"""tus 1.0.0 (https://tus.io/protocols/resumable-upload): what its headers say, on the routes of /v1/uploads."""

import base64
import binascii
import hashlib
import re

from fastapi import FastAPI, Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.http.digests import Check
from app.api.http.problems import ProblemResponse
from app.core.errors import ChecksumMismatch, Unreadable, document, unreadable
from ml.faults import Fault

PATH = "/v1/uploads"
VERSION = "1.0.0"
MEDIA_TYPE = "application/offset+octet-stream"
ALGORITHMS = ("sha1", "sha256", "sha512")  # as `hashlib` names them, too
EXTENSIONS = "creation,creation-defer-length,creation-with-upload,expiration,checksum,termination"
MOST_METADATA = 16 * 1024  # characters: they are stored in the database
OVERRIDING = ("PATCH", "DELETE")  # methods that a client may have to send as POST
_PAIR = re.compile(r"\s*([!-+\--~]+)(?: ([A-Za-z0-9+/]*={0,2}))?\s*")


class Tus:
    """ASGI middleware: every answer to a client that speaks tus says so, and another version than ours is refused."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        version = Headers(scope=scope).get("tus-resumable") if scope["type"] == "http" else None
        if version is None or not f"{scope['path']}/".startswith(f"{PATH}/"):
            await self.app(scope, receive, send)
            return
        override = Headers(scope=scope).get("x-http-method-override")
        if scope["method"] == "POST" and override in OVERRIDING:
            scope["method"] = override

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Tus-Resumable"] = VERSION
            await send(message)

        supported = version == VERSION or scope["method"] == "OPTIONS"
        await (self.app if supported else _other_version(scope))(scope, receive, sending)


def _other_version(scope: Scope) -> ProblemResponse:
    fault = Fault("unknown_version", "This version of tus is not spoken here.", "Speak 1.0.0.", "header:tus-resumable")
    body = document(412, "unknown-version", "Another version", fault.detail, [fault])
    body = body.model_copy(update={"instance": scope["path"]})
    return ProblemResponse(body.model_dump(), 412, {"Tus-Version": VERSION, "Connection": "close"})


def install(app: FastAPI) -> None:
    """Let `app` speak tus."""
    app.add_middleware(Tus)


def is_spoken(request: Request) -> bool:
    """Whether the client speaks tus."""
    return "tus-resumable" in request.headers


def capabilities(limit_bytes: int) -> dict[str, str]:
    """The headers that say what of tus is spoken here. limit_bytes: of a file."""
    return {
        "Tus-Resumable": VERSION,
        "Tus-Version": VERSION,
        "Tus-Extension": EXTENSIONS,
        "Tus-Max-Size": str(limit_bytes),
        "Tus-Checksum-Algorithm": ",".join(ALGORITHMS),
    }


def check_length(request: Request) -> None:
    """Raise `Unreadable` unless a creation announces the length of the file, or says that it comes later."""
    deferred = request.headers.get("upload-defer-length")
    if deferred not in (None, "1") or ("upload-length" in request.headers) == (deferred is not None):
        detail = "Either Upload-Length or Upload-Defer-Length: 1 must be sent."
        raise unreadable("invalid-upload-length", detail, "Send one of both.", "header:upload-length")


def metadata(header: str) -> dict[str, str]:
    """The texts in Upload-Metadata. Raises `Unreadable`."""
    if len(header) > MOST_METADATA:
        detail = f"Upload-Metadata have {len(header)} characters, and may have {MOST_METADATA}."
        raise unreadable("invalid-upload-metadata", detail, "Send less.", "header:upload-metadata")
    found: dict[str, str] = {}
    for pair in header.split(",") if header.strip() else ():
        match = _PAIR.fullmatch(pair)
        if not match or match[1] in found:
            raise _wrong_metadata()
        try:
            found[match[1]] = base64.b64decode(match[2] or "", validate=True).decode()
        except ValueError as error:
            raise _wrong_metadata() from error
    return found


def _wrong_metadata() -> Unreadable:
    hint = "Send keys, each once, with a space and the base64 of a text in UTF-8, separated by commas."
    return unreadable("invalid-upload-metadata", "Upload-Metadata cannot be read.", hint, "header:upload-metadata")


def checksums(request: Request) -> list[Check]:
    """What Upload-Checksum demands of the body, if it was sent. Raises `Unreadable`."""
    header = request.headers.get("upload-checksum")
    if header is None:
        return []
    algorithm, _, text = header.partition(" ")
    if algorithm not in ALGORITHMS:
        known = ", ".join(ALGORITHMS)
        raise unreadable(
            "unknown-checksum", "This checksum is not known.", f"Known: {known}.", "header:upload-checksum"
        )
    try:
        digest = base64.b64decode(text, validate=True)
    except binascii.Error:
        digest = b""
    if len(digest) != hashlib.new(algorithm).digest_size:
        hint = f"Send {algorithm}, a space, and the base64 of the digest."
        raise unreadable("invalid-checksum", "The checksum cannot be read.", hint, "header:upload-checksum")
    detail = f"The body does not have the {algorithm} of Upload-Checksum, and nothing of it was kept. Send it again."
    return [Check(algorithm, digest, ChecksumMismatch("checksum-mismatch", detail))]
