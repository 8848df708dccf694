"""Uploads in pieces as objects of the store, for APIs that share a bucket and no disk. Rows name the objects."""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import FileIO
from pathlib import Path

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError

from app.core import tenancy
from app.core.columns import now
from app.core.errors import Damaged
from app.core.room import no_room_is_told
from app.data.upload_sinks import FileSink, OffsetMismatch, Sink, busy
from app.services import Services
from app.storage import Stored
from app.storage.store import sha256_in
from app.tables import UnfinishedUpload, UploadPiece

PLACE = "uploads/"  # the keys of all pieces in the store begin with it
PIECE_BYTES = 16 * 1024**2  # of an object; an API that is killed loses no more of an upload


def size_of(services: Services, id_: str) -> int:
    """How many bytes are in the store."""
    end = func.coalesce(func.max(UploadPiece.offset + UploadPiece.size_bytes), 0)
    with services.database.read() as session:
        return session.scalar(select(end).where(UploadPiece.upload == id_)) or 0


class ObjectContent:
    """The objects of an upload, as a `Content`."""

    def __init__(self, services: Services, id_: str) -> None:
        self._services, self._id = services, id_
        self.size = size_of(services, id_)

    @contextmanager
    def sink(self) -> Iterator[Sink]:
        with ExitStack() as last:
            sink = _ObjectSink(self._services, self._id, self.size)
            last.callback(sink.store)  # also what came before the connection broke
            yield sink

    @contextmanager
    def whole(self) -> Iterator[Path]:
        pieces = self._pieces()
        with self._services.store.incoming() as path, no_room_is_told():
            try:
                with path.open("wb", buffering=0) as file:
                    for key in pieces:
                        _append(self._services, key, file)
            except Damaged:
                if self._pieces() != pieces:  # another request has just made something of them
                    raise busy() from None
                raise
            yield path

    def _pieces(self) -> list[str]:
        with self._services.database.read() as session:
            mine = select(UploadPiece.object).where(UploadPiece.upload == self._id)
            return list(session.scalars(mine.order_by(UploadPiece.offset)))

    def remove(self) -> None:
        for key in list(self._services.store.keys(f"{PLACE}{tenancy.file_name(self._id)}/")):
            self._services.store.delete(key)


def _append(services: Services, key: str, file: FileIO) -> None:
    """Append a piece to a file. Raises `Damaged`."""
    digest = hashlib.sha256()
    sink = FileSink(file, digest)
    for data in services.store.read(key):
        sink.write(bytearray(data))
    if digest.hexdigest() != sha256_in(key):
        raise Damaged("damaged-object", f"The bytes of the object {key!r} are not those that were stored.", "an upload")


class _ObjectSink:
    """Collects bytes in a file of this machine, and stores each `PIECE_BYTES` of them as an object."""

    def __init__(self, services: Services, id_: str, size: int) -> None:
        self._services, self._id, self.size = services, id_, size
        self._stored = size
        self._open()

    def _open(self) -> None:
        self._stack, self._digest = ExitStack(), hashlib.sha256()
        self._path = self._stack.enter_context(self._services.store.incoming())
        self._sink = FileSink(self._stack.enter_context(self._path.open("wb", buffering=0)), self._digest)

    def write(self, data: bytearray) -> None:
        self._sink.write(data)
        self.size += len(data)
        if self._sink.size >= PIECE_BYTES:
            self.store()
            self._open()

    def store(self) -> None:
        """Store what has come since the last piece. Raises `Conflict` if another request was quicker."""
        offset, self._stored = self._stored, self.size  # now: what cannot be stored is not tried again
        with self._stack:
            if self.size > offset:
                place = f"{PLACE}{tenancy.file_name(self._id)}/{offset}"
                stored = self._services.store.put(self._path, place, sha256=self._digest.hexdigest())
                self._record(stored, offset)

    def _record(self, stored: Stored, offset: int) -> None:
        piece = UploadPiece(upload=self._id, offset=offset, size_bytes=stored.size_bytes, object=stored.object)
        try:
            with self._services.database.write() as session:
                session.add(piece)
                session.flush()
                session.execute(update(UnfinishedUpload).where(UnfinishedUpload.id == self._id).values(touched=now()))
        except IntegrityError as error:
            with self._services.database.read() as session:
                same = session.scalar(select(UploadPiece.object).where(UploadPiece.object == stored.object))
            if same is None:  # else both have sent the same bytes
                self._services.store.delete(stored.object)
            raise OffsetMismatch(size_of(self._services, self._id), offset) from error
