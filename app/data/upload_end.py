"""How an upload in pieces ends: something is made of it, or it is deleted."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import delete as delete_rows
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.access import reservations
from app.core import tenancy
from app.core.columns import now
from app.core.errors import Conflict, Locked, NotFound
from app.core.preconditions import ANY, IfMatch
from app.data.upload_content import held
from app.data.upload_objects import PLACE
from app.data.uploads import Digests, check_unused, get
from app.services import Services
from app.tables import UnfinishedUpload, UploadPiece


@dataclass(frozen=True)
class Whole:
    """A whole file that has arrived. digests: Those that the client has announced."""

    path: Path
    digests: Digests


@contextmanager
def whole(services: Services, id_: str, made: str | None = None) -> Iterator[Whole]:
    """The file of an upload, from which the block makes a resource. The bytes are deleted unless it raises.

    made: The path of that resource, for an upload that is still asked for its state; otherwise it is gone then.
    Raises `NotFound`, `Locked`, or `Conflict` if the announced size is another one.
    """
    with services.database.read() as session:
        check_unused(get(session, id_))
    with held(services, id_) as content:
        with services.database.read() as session:
            row = get(session, id_)
        _check_complete(row, content.size)
        with content.whole() as path:
            yield Whole(path, row.digests)
        with services.database.write() as session:
            mine = UnfinishedUpload.id == id_
            if made is None:
                session.execute(delete_rows(UnfinishedUpload).where(mine))
            else:
                session.execute(delete_rows(UploadPiece).where(UploadPiece.upload == id_))
                session.execute(update(UnfinishedUpload).where(mine).values(made=made, touched=now()))
        content.remove()


def _check_complete(row: UnfinishedUpload, size: int) -> None:
    check_unused(row)
    if row.total is not None and size != row.total:
        mend = "Send the rest first." if size < row.total else "Begin a new one."
        raise Conflict("upload-incomplete", f"The upload has {size} bytes, but {row.total} were announced. {mend}")


def delete(services: Services, id_: str, if_match: IfMatch = ANY) -> None:
    """Delete an upload. Raises `NotFound`, `PreconditionFailed`, or `Locked` if a request is using it."""
    with services.database.read() as session:
        row = get(session, id_)

    def erase(session: Session) -> None:
        session.execute(delete_rows(UnfinishedUpload).where(UnfinishedUpload.id == id_))

    try:
        with held(services, id_) as content:
            if_match.check(str(content.size if row.made is None else row.total))
            services.database.erase(erase)
            content.remove()
    except NotFound:  # the file is gone: something was made of it
        if_match.check(str(row.total))
        services.database.erase(erase)
    reservations.release_upload(services.database, id_)


def delete_expired(services: Services, before: datetime) -> int:
    """Delete the uploads of all tenants to which nothing has come since `before`; returns their number.

    Pieces without an upload go as well: an API was killed before it recorded them, or while the upload was deleted.
    """
    with tenancy.acting_for(tenancy.ALL):
        keys = list(services.store.keys(PLACE))  # first: what comes in between cannot seem to be without an upload
        with services.database.read() as session:
            ids = set(session.scalars(select(UnfinishedUpload.id)))
            old = list(session.scalars(select(UnfinishedUpload.id).where(UnfinishedUpload.touched < before)))
        for id_ in old:
            with suppress(Locked, NotFound):
                delete(services, id_)
        names = {tenancy.file_name(id_) for id_ in ids}
        lost = [key for key in keys if key.split("/")[1] not in names]
        for key in lost:
            services.store.delete(key)
    return len(old) + len(lost)
