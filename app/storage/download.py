"""Downloads from a bucket: in several ranges at once, and after an interruption only what is missing."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from botocore.exceptions import BotoCoreError

RANGE_BYTES = 16 * 1024**2
STREAMS = 4  # at once: one stream of a distant bucket carries a fraction of what the network can
TRIES = 4  # of each range; a connection that breaks in the middle is no error of the object
PAUSE_S = 0.5  # after the first one, and twice as long after each further one
_READ_BYTES = 1024**2
log = structlog.get_logger()


def download(client: Any, target: dict[str, str], path: Path) -> None:
    """Download an object to `path`, where an earlier download of the same object may have ended in the middle.

    client: Of S3, from boto3. target: The arguments that name the object.

    What has come stays there when this raises, unless the disk of `path` is full. Nothing is said of its bytes: they
    must be checked as a whole. Raises errors of botocore, and `OSError`.
    """
    head = client.head_object(**target)
    size, tag = int(head["ContentLength"]), str(head["ETag"])
    try:
        with _partial(path, size, tag) as partial, ThreadPoolExecutor(STREAMS) as pool:
            ranges = [pool.submit(_fetch, client, target | {"IfMatch": tag}, partial, at) for at in partial.missing()]
            try:
                for each in ranges:
                    each.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    except OSError:  # its room must not stay taken
        forget(path)
        raise
    _list_of(path).unlink()


def forget(path: Path) -> None:
    """Delete what an earlier download to `path` has left."""
    for each in (path, _list_of(path)):
        each.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Partial:
    """A file that is being downloaded, and the open list of its finished ranges: a line for the object and for each."""

    file: int
    finished: int
    size: int
    done: frozenset[int]

    def missing(self) -> Iterator[int]:
        """The first bytes of the ranges that have not come."""
        return (at for at in range(0, self.size, RANGE_BYTES) if at not in self.done)


def _list_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.ranges")


@contextmanager
def _partial(path: Path, size: int, tag: str) -> Iterator[_Partial]:
    title, lines = f"{tag} {size} {RANGE_BYTES}", list[str]()
    with suppress(FileNotFoundError):
        lines = _list_of(path).read_text().split("\n")[:-1]  # without a line that was not written to its end
    if lines[:1] != [title] or not path.exists() or path.stat().st_size != size:
        forget(path)
        lines = []
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    finished = os.open(_list_of(path), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        if lines:
            log.info("a download goes on", path=path.name, ranges=len(lines) - 1, of=-(-size // RANGE_BYTES))
        else:
            os.truncate(file, size)
            os.write(finished, f"{title}\n".encode())
        yield _Partial(file, finished, size, frozenset(map(int, lines[1:])))
    finally:
        os.close(finished)
        os.close(file)


def _fetch(client: Any, target: dict[str, str], partial: _Partial, at: int) -> None:
    """Download one range, and add it to the list."""
    position, end = at, min(at + RANGE_BYTES, partial.size)
    for attempt in range(TRIES):
        try:
            body = client.get_object(**target, Range=f"bytes={position}-{end - 1}")["Body"]
            for piece in body.iter_chunks(_READ_BYTES):
                _write(partial.file, piece, position)
                position += len(piece)
            break
        except BotoCoreError as error:
            if attempt == TRIES - 1:
                raise
            log.warning("a download was interrupted, will go on", at=position, error=str(error))
            time.sleep(PAUSE_S * 2**attempt)
    os.write(partial.finished, f"{at}\n".encode())


def _write(file: int, piece: bytes, position: int) -> None:
    view = memoryview(piece)
    while view:
        written = os.pwrite(file, view, position)
        position, view = position + written, view[written:]
