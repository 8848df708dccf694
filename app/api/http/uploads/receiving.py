"""Receiving a body: it is streamed to a file beside the store and hashed on the way, with constant memory."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from fastapi import Request
from prometheus_client import Counter
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from app.api.http import digests
from app.api.http.body_limits import allow
from app.api.http.deps import in_threads
from app.api.http.digests import Check
from app.api.http.places import Places
from app.api.http.uploads.arriving import Room, given_back, room_of, room_of_upload
from app.core.errors import Encoded, TooLarge, Unreadable, invalid
from app.core.room import no_room_is_told
from app.data import upload_end, uploads
from app.data.upload_sinks import FileSink, Sink
from app.services import Services
from app.storage import Upload, sha256_of

CHUNK_BYTES = 4 * 1024**2  # written in one piece, in a thread beside the event loop
RECEIVED = Counter("canemap_upload_bytes", "Bytes of uploaded files that were received to their end")


@asynccontextmanager
async def received(request: Request, services: Services, upload_id: str | None) -> AsyncIterator[Upload]:
    """The raw body of `request` as a file, which is deleted after the block unless the store took it.

    upload_id: id of an upload in pieces, which is taken instead of the body. It is kept if the block raises.
    """
    _refuse_part(request)
    checks = digests.checks(request, digests.CONTENT, digests.REPR)
    if upload_id:
        await _refuse_body(request)
        async with whole_upload(request, services, upload_id, checks) as upload:
            yield upload
        return
    check_announced(request, services)
    with services.store.incoming() as path:
        async with _room(request, services, path) as room:
            upload = await _receive_file(stream(request), services, path, room)
            await _check(request, upload, checks)
            yield upload


async def _refuse_body(request: Request) -> None:
    async for chunk in request.stream():
        if chunk:
            hint = "Send the rest of the file to the upload, and send no body here."
            raise invalid("body-and-upload", "The request has a body, but also names an upload.", hint, "/upload")


@asynccontextmanager
async def whole_upload(
    request: Request, services: Services, id_: str, checks: Sequence[Check] = (), made: str | None = None
) -> AsyncIterator[Upload]:
    """The file of an upload in pieces, which the block makes a resource of. It is kept if the block raises.

    checks: What its bytes must be, beside what was announced with it. made: as for `upload_end.whole`.
    """
    places: Places = request.app.state.places
    async with in_threads(upload_end.whole(services, id_, made), partial(places.run, "upload")) as whole:
        _check_not_empty(whole.path.stat().st_size)
        upload = Upload(whole.path, await places.run("upload", sha256_of, whole.path))
        await _check(request, upload, [*checks, *digests.checks_of(whole.digests)])
        yield upload
    await room_of_upload(request, services, id_).give_back()


async def _check(request: Request, upload: Upload, checks: Sequence[Check]) -> None:
    """Raise the error of the first check that the file does not pass."""
    places: Places = request.app.state.places
    for check in checks:
        if check.algorithm == "sha256":
            check.found(bytes.fromhex(upload.sha256))
        else:
            await places.run("upload", check.file, upload.path)


@asynccontextmanager
async def received_file(request: Request, chunks: AsyncIterator[bytes], services: Services) -> AsyncIterator[Upload]:
    """The bytes of a multipart form's file as a file, which is deleted after the block unless the store took it.

    chunks: Those bytes, which `request` sends among others.
    """
    with services.store.incoming() as path:
        async with _room(request, services, path) as room:
            yield await _receive_file(chunks, services, path, room)


@asynccontextmanager
async def _room(request: Request, services: Services, path: Path) -> AsyncIterator[Room]:
    """The room for a whole file, which is given back after the block. Raises `StorageFull` or `NeverFits`."""
    async with given_back(room_of(request, services, path.name)) as room:
        if (length := announced_bytes(request)) is not None:
            await room.cover(length, announced=True)
        yield room


async def _receive_file(chunks: AsyncIterator[bytes], services: Services, path: Path, room: Room) -> Upload:
    digest = hashlib.sha256()
    with path.open("wb", buffering=0) as file:
        size = await _receive(chunks, FileSink(file, digest), services.settings.upload_limit_bytes, room)
    _check_not_empty(size)
    return Upload(path, digest.hexdigest())


async def receive_piece(
    request: Request, services: Services, id_: str, opened: uploads.Opened, checks: Sequence[Check]
) -> None:
    """Append the body of `request` to an upload in pieces.

    checks: What the body must be; with one, all of the body is added or nothing. Without one, bytes that arrived before
    an error are added, as far as they do not pass the end.

    Raises `TooLarge`, `TooSlow`, `Unreadable`, `NoRoom`, `StorageFull`, `NeverFits`, `Conflict` for bytes after the
    end, or the error of a check.
    """
    sink, room = opened.sink, room_of_upload(request, services, id_)
    whole = max(opened.total or 0, sink.size)
    if (length := announced_bytes(request)) is not None:
        await room.cover(max(whole, sink.size + length), announced=True)
    try:
        await _receive_piece(request, services, opened, checks, room)
    finally:
        await room.settle(max(whole, sink.size))


async def _receive_piece(
    request: Request, services: Services, opened: uploads.Opened, checks: Sequence[Check], room: Room
) -> None:
    limit_bytes, sink, before = services.settings.upload_limit_bytes, opened.sink, opened.sink.size
    if not checks:
        await _receive(stream(request), sink, limit_bytes, room, opened.end, before)
        return
    with services.store.incoming() as path:
        with path.open("wb", buffering=0) as file:
            await _receive(stream(request), FileSink(file), limit_bytes, room, opened.end, before)
        with no_room_is_told():
            await run_in_threadpool(_add_if_right, path, checks, sink)


def _add_if_right(path: Path, checks: Sequence[Check], sink: Sink) -> None:
    for check in checks:
        check.file(path)
    with path.open("rb") as file:
        while data := file.read(CHUNK_BYTES):
            sink.write(bytearray(data))


async def _receive(
    chunks: AsyncIterator[bytes], sink: Sink, limit_bytes: int, room: Room, end: int | None = None, before: int = 0
) -> int:
    """Write what arrives to `sink`; returns its size in bytes.

    room: Reserved for the file. end: Size in bytes that the file must not pass. before: Bytes of it that came earlier.
    """
    waiting, size = bytearray(), 0
    with no_room_is_told():
        async with _writer(sink) as write:
            try:
                async for chunk in chunks:
                    size += len(chunk)
                    if before + size > limit_bytes:
                        raise _too_large(limit_bytes)
                    if end is not None and before + size > end:
                        raise uploads.beyond(end)
                    await room.cover(before + size)
                    waiting += chunk
                    if len(waiting) >= CHUNK_BYTES:
                        await write(waiting)
                        waiting = bytearray()
            finally:
                await write(waiting)
    RECEIVED.inc(size)
    return size


@asynccontextmanager
async def _writer(sink: Sink) -> AsyncIterator[Callable[[bytearray], Awaitable[None]]]:
    """A function that writes a chunk while the next one is received. It first waits for the previous chunk."""
    last: asyncio.Task[None] | None = None

    async def write(data: bytearray) -> None:
        nonlocal last
        if last:
            await last
        last = asyncio.create_task(run_in_threadpool(sink.write, data))

    try:
        yield write
    finally:  # the file must not be closed while a thread writes to it
        if last:
            await last


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


def has_body(request: Request) -> bool:
    """Whether the request has a body that is not empty, as far as its headers tell."""
    return bool(announced_bytes(request)) or "transfer-encoding" in request.headers


def _check_not_empty(size: int) -> None:
    if size == 0:
        raise invalid("empty-body", "The body is empty.", "Send the file itself: curl -T scene.tif URL")


def _too_large(limit_bytes: int) -> TooLarge:
    return TooLarge("body-too-large", f"The file is over the limit of {limit_bytes} bytes.")
