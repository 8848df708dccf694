"""Receiving a body: it is streamed to a file beside the store and hashed on the way, with constant memory."""

import asyncio
import base64
import hashlib
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from io import FileIO

from fastapi import Request
from prometheus_client import Counter
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from app.api.http.body_limits import allow
from app.api.http.places import Places
from app.core.errors import Encoded, TooLarge, Unreadable, invalid
from app.core.room import no_room_is_told
from app.data import uploads
from app.services import Services
from app.storage import Upload

DIGEST = "header:content-digest"
CHUNK_BYTES = 4 * 1024**2  # written in one piece, in a thread beside the event loop
RECEIVED = Counter("canemap_upload_bytes", "Bytes of uploaded files that were received to their end")


@asynccontextmanager
async def received(request: Request, services: Services, upload_id: str | None) -> AsyncIterator[Upload]:
    """The raw body of `request` as a file, which is deleted after the block unless the store took it.

    upload_id: id of an upload in pieces, which is taken instead of the body. It is kept if the block raises.
    """
    _refuse_part(request)
    if upload_id:
        async with _from_upload(request, services, upload_id) as upload:
            yield upload
        return
    check_announced(request, services)
    with services.store.incoming() as path:
        with path.open("wb", buffering=0) as file:
            size, sha256 = await receive(request, services, file)
        _check_digest(request, sha256)
        _check_not_empty(size)
        yield Upload(path, sha256.hex())


@asynccontextmanager
async def _from_upload(request: Request, services: Services, id_: str) -> AsyncIterator[Upload]:
    async for chunk in request.stream():
        if chunk:
            hint = "Send the rest of the file to the upload, and send no body here."
            raise invalid("body-and-upload", "The request has a body, but also names an upload.", hint, "/upload")
    with uploads.locked(services, id_) as file:
        _check_not_empty(os.fstat(file.fileno()).st_size)
        uploads.check_complete(file)
        places: Places = request.app.state.places
        digest = await places.run("upload", hashlib.file_digest, file, "sha256")
        _check_digest(request, digest.digest())
        yield Upload(uploads.path_of(file), digest.hexdigest())
        uploads.remove(file)


@asynccontextmanager
async def received_file(chunks: AsyncIterator[bytes], services: Services) -> AsyncIterator[Upload]:
    """The bytes of a multipart form's file as a file, which is deleted after the block unless the store took it."""
    with services.store.incoming() as path:
        with path.open("wb", buffering=0) as file:
            size, sha256 = await _receive(chunks, file, services.settings.upload_limit_bytes)
        _check_not_empty(size)
        yield Upload(path, sha256.hex())


async def receive(request: Request, services: Services, file: FileIO, end: int | None = None) -> tuple[int, bytes]:
    """Append the body of `request` to the unbuffered `file`; returns the body's size in bytes, and its sha256.

    end: Size in bytes that the file must not pass; None for the limit of all uploads. Bytes that arrived before an
    error are in the file, as far as they do not pass it.

    Raises `TooLarge`, `TooSlow`, `Unreadable`, `NoRoom`, or `Conflict` for bytes after `end`.
    """
    return await _receive(stream(request), file, services.settings.upload_limit_bytes, end)


async def _receive(
    chunks: AsyncIterator[bytes], file: FileIO, limit_bytes: int, end: int | None = None
) -> tuple[int, bytes]:
    digest, waiting, size, before = hashlib.sha256(), bytearray(), 0, os.fstat(file.fileno()).st_size
    with no_room_is_told():
        async with _writer(file, digest) as write:
            try:
                async for chunk in chunks:
                    size += len(chunk)
                    if before + size > limit_bytes:
                        raise _too_large(limit_bytes)
                    if end is not None and before + size > end:
                        raise uploads.beyond(end)
                    waiting += chunk
                    if len(waiting) >= CHUNK_BYTES:
                        await write(waiting)
                        waiting = bytearray()
            finally:
                await write(waiting)
    RECEIVED.inc(size)
    return size, digest.digest()


@asynccontextmanager
async def _writer(file: FileIO, digest: "hashlib._Hash") -> AsyncIterator[Callable[[bytearray], Awaitable[None]]]:
    """A function that writes a chunk while the next one is received. It first waits for the previous chunk."""
    last: asyncio.Task[None] | None = None

    async def write(data: bytearray) -> None:
        nonlocal last
        if last:
            await last
        last = asyncio.create_task(run_in_threadpool(_write, file, digest, data))

    try:
        yield write
    finally:  # the file must not be closed while a thread writes to it
        if last:
            await last


def _write(file: FileIO, digest: "hashlib._Hash", data: bytearray) -> None:
    view = memoryview(data)
    while view:  # an unbuffered file may write only the beginning
        view = view[file.write(view) :]
    if sys.platform == "linux":
        # starts the write now: else the disk would be idle until fsync, or until a tenth of the memory waits for it
        os.posix_fadvise(file.fileno(), file.tell() - len(data), len(data), os.POSIX_FADV_DONTNEED)
    digest.update(data)


async def stream(request: Request) -> AsyncIterator[bytes]:
    """The chunks of the body. Raises `Unreadable` if the client disconnects before the end of the body."""
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect as error:
        raise Unreadable("upload-broken", "The connection ended before the body did.") from error


def check_announced(request: Request, services: Services) -> None:
    """Refuse a body whose headers show that it cannot be stored; allow any other body the size of an upload."""
    if (announced_bytes(request) or 0) > services.settings.upload_limit_bytes:
        raise _too_large(services.settings.upload_limit_bytes)
    if request.headers.get("content-encoding", "identity") != "identity":
        detail = "The body is compressed as a whole. Send the file as it is, without Content-Encoding."
        raise Encoded("encoded-body", detail)
    allow(request, services.settings.upload_limit_bytes)


def _refuse_part(request: Request) -> None:
    """Raise `Unreadable` for a body that is said to be a part of a file, where the whole file is meant."""
    if "content-range" in request.headers:
        detail = "The body is a part of a file (Content-Range). Send the whole file, or its parts to /v1/uploads."
        raise Unreadable("partial-content", detail)


def announced_bytes(request: Request) -> int | None:
    """The length of the body in bytes, or None if the client does not announce it."""
    length = request.headers.get("content-length", "")
    return int(length) if length.isdecimal() else None


def _check_digest(request: Request, sha256: bytes) -> None:
    """Compare with `Content-Digest: sha-256=:BASE64:` (RFC 9530), if the client sent it. Raises `Invalid`."""
    header = request.headers.get("content-digest")
    if header is None:
        return
    match = re.search(r"\bsha-256=:([A-Za-z0-9+/]{43}=):", header)
    if not match:
        hint = "Send Content-Digest: sha-256=:BASE64:, or leave the header out."
        raise invalid("digest-unreadable", "Content-Digest has no sha-256 of 32 bytes.", hint, DIGEST)
    if match[1] != base64.b64encode(sha256).decode():
        raise invalid(
            "digest-mismatch", "The body does not have the sha256 of Content-Digest.", "Send it again.", DIGEST
        )


def _check_not_empty(size: int) -> None:
    if size == 0:
        raise invalid("empty-body", "The body is empty.", "Send the file itself: curl -T scene.tif URL")


def _too_large(limit_bytes: int) -> TooLarge:
    return TooLarge("body-too-large", f"The file is over the limit of {limit_bytes} bytes.")
