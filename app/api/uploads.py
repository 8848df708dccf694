"""Receiving a body: streamed once to where the store takes it from, hashed on the way, memory flat."""

import asyncio
import base64
import errno
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

from fastapi import Request
from prometheus_client import Counter
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect

from app.errors import NoRoom, TooLarge, TooSlow, Unreadable, invalid
from app.scenes import Upload
from app.services import Services

CHUNK_BYTES = 4 * 1024**2  # written at once, away from the event loop
RECEIVED = Counter("canemap_upload_bytes", "Bytes of uploaded files that were received to their end")


@asynccontextmanager
async def received(request: Request, services: Services) -> AsyncIterator[Upload]:
    """The raw body of `request` as a file, which is gone after the block unless the store took it."""
    _check_announced(request, services)
    with services.store.incoming() as path:
        sha256 = await _receive(_stream(request, services), path, services.settings.upload_limit_bytes)
        _check_digest(request, sha256)
        yield Upload(path, sha256.hex())


@asynccontextmanager
async def received_part(part: UploadFile, services: Services) -> AsyncIterator[Upload]:
    """The file of a multipart form as a file of the store, likewise."""

    async def chunks() -> AsyncIterator[bytes]:
        while chunk := await part.read(CHUNK_BYTES):
            yield chunk

    with services.store.incoming() as path:
        sha256 = await _receive(chunks(), path, services.settings.upload_limit_bytes)
        yield Upload(path, sha256.hex())


async def _receive(chunks: AsyncIterator[bytes], path: Path, limit_bytes: int) -> bytes:
    digest, waiting, size = hashlib.sha256(), bytearray(), 0
    try:
        with path.open("wb", buffering=0) as file:
            async with _writer(file, digest) as write:
                async for chunk in chunks:
                    waiting += chunk
                    size += len(chunk)
                    if size > limit_bytes:
                        raise _too_large(limit_bytes)
                    if len(waiting) >= CHUNK_BYTES:
                        await write(waiting)
                        waiting = bytearray()
                await write(waiting)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoRoom("no-room", "The service's disk is full; nothing was kept. Try again later.") from error
        raise
    RECEIVED.inc(size)
    if size == 0:
        raise invalid("empty-body", "The body is empty.", "Send the file itself: curl -T scene.tif URL")
    return digest.digest()


@asynccontextmanager
async def _writer(file: IO[bytes], digest: "hashlib._Hash") -> AsyncIterator[Callable[[bytearray], Awaitable[None]]]:
    """A function that writes one chunk while the next is received: it waits for the chunk before."""
    last: asyncio.Task[None] | None = None

    async def write(data: bytearray) -> None:
        nonlocal last
        if last:
            await last
        last = asyncio.create_task(run_in_threadpool(_write, file, digest, data))

    try:
        yield write
    finally:  # the file must not be closed under a thread that writes
        if last:
            await last


def _write(file: IO[bytes], digest: "hashlib._Hash", data: bytearray) -> None:
    view = memoryview(data)
    while view:  # an unbuffered file may write less than it was given
        view = view[file.write(view) :]
    digest.update(data)


async def _stream(request: Request, services: Services) -> AsyncIterator[bytes]:
    """The chunks of the body; a client that stalls is given up, for uvicorn would wait for ever."""
    stream = aiter(request.stream())
    idle_s = services.settings.upload_idle_s
    while True:
        try:
            async with asyncio.timeout(idle_s):  # not wait_for: that makes a task of each of many small chunks
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise TooSlow("upload-stalled", f"Nothing arrived for {idle_s:g} s; nothing was kept.") from error
        except ClientDisconnect as error:
            raise Unreadable("upload-broken", "The connection ended before the body did; nothing was kept.") from error
        yield chunk


def _check_announced(request: Request, services: Services) -> None:
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > services.settings.upload_limit_bytes:
        raise _too_large(services.settings.upload_limit_bytes)
    if request.headers.get("content-encoding", "identity") != "identity":
        raise invalid(
            "encoded-body", "The body is compressed as a whole.", "Send the file as it is, without Content-Encoding."
        )


def _check_digest(request: Request, sha256: bytes) -> None:
    """`Content-Digest: sha-256=:BASE64:` (RFC 9530), when the client sent it."""
    match = re.search(r"sha-256=:([A-Za-z0-9+/=]*):", request.headers.get("content-digest", ""))
    if match and match[1] != base64.b64encode(sha256).decode():
        raise invalid("digest-mismatch", "The body is not the one that Content-Digest describes.", "Send it again.")


def _too_large(limit_bytes: int) -> TooLarge:
    return TooLarge("body-too-large", f"The body is over the limit of {limit_bytes} bytes; nothing was kept.")
