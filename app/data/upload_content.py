"""Where the bytes of an upload in pieces lie, until something is made of them.

In a store that is a folder they are a file on its disk; in a bucket they are objects, so that every API of a fleet can
go on with them.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from app.core import tenancy
from app.core.room import no_room_is_told
from app.data import upload_files, upload_objects
from app.data.upload_sinks import Content
from app.services import Services


def begin(services: Services, id_: str) -> None:
    """Make room for the bytes of a new upload. Raises `NoRoom`."""
    if path := services.store.partial(tenancy.file_name(id_)):
        with no_room_is_told():
            path.touch(exist_ok=False)


def size_of(services: Services, id_: str) -> int:
    """How many bytes of an upload are stored safely. Raises `NotFound`."""
    path = services.store.partial(tenancy.file_name(id_))
    return upload_files.size_of(path, id_) if path else upload_objects.size_of(services, id_)


@contextmanager
def held(services: Services, id_: str) -> Iterator[Content]:
    """The bytes of an upload. Those in a file are locked; those in objects need no lock, because one of two wins.

    Raises `NotFound`, or `Locked` if another request has the file.
    """
    if path := services.store.partial(tenancy.file_name(id_)):
        with upload_files.locked(path, id_) as content:
            yield content
    else:
        yield upload_objects.ObjectContent(services, id_)
