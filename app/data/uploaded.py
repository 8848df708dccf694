"""What scenes, labels and zones have in common: a file is inspected, stored and recorded under a name."""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.core.idempotency import FRESH, IdempotentRequest
from app.core.names import check_name
from app.core.preconditions import ANY, IfMatch
from app.services import Services
from app.tables import LabelSet, Scene, ZoneSet

Row = TypeVar("Row", Scene, LabelSet, ZoneSet)


def add(
    services: Services,
    table: type[Row],
    get: Callable[[Session, str], Row],
    name: str,
    make: Callable[[], Row],
    check_same: Callable[[Row], None],
    *,
    if_match: IfMatch = ANY,
    once: IdempotentRequest = FRESH,
    check_repeated: Callable[[Row], None] | None = None,
) -> tuple[Row, bool]:
    """Record an uploaded file under `name` in `table`; returns its row, and whether it is new.

    get: Reads a row of `table`. make: Inspects and stores the file and returns its row. Only for new names.
    check_same: Raises `Conflict` if the row with this name and the upload say different things.
    check_repeated: Likewise, with the row that the same request made before, where other rules hold for that.
    if_match: What the row with this name must be. once: Where the request may be repeated.

    Raises `Invalid` for a bad name, `PreconditionFailed`, and what `make` and the checks raise.
    """
    check_name(name)
    with services.database.read() as session:
        if earlier := once.answered(session):  # since then it may have been corrected, or deleted and made anew
            row = get(session, earlier)
            (check_repeated or check_same)(row)
            return row, False
        existing = session.get(table, name)
    if_match.check(existing.tag if existing else None)
    if existing is None:
        new = make()
        existing = _insert(services, get, new, once)
        if existing is new:
            return new, True
    check_same(existing)
    return existing, False


def _insert(services: Services, get: Callable[[Session, str], Row], new: Row, once: IdempotentRequest) -> Row:
    """Record `new`: returns it, or the row that another request has recorded under its name meanwhile.

    In the second case the files of `new` are deleted.
    """
    try:
        with services.recording(*new.objects) as session:
            once.earlier(session, new.id)  # if there is one, it has the name, and the next line fails
            session.add(new)
    except IntegrityError:
        with services.database.read() as session:
            winner = get(session, new.id)
        for key in new.objects:
            services.store.delete(key)
        return winner
    return new
