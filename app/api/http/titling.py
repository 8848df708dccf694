"""What all PATCH routes that change only a title share."""

from sqlalchemy.orm import Session

from app.api.http.answers import ETAG, answer
from app.api.http.problems import IN_BODIES, problems
from app.core.preconditions import IfMatch
from app.requests.texts import TitlePatch
from app.upkeep import titles
from app.upkeep.references import Thing

TITLED = answer(200, ETAG) | problems(*IN_BODIES, 404, 412)


def retitle(session: Session, thing: Thing, change: TitlePatch, if_match: IfMatch) -> None:
    """Give a resource the title of `change`. Raises `NotFound`, `PreconditionFailed`, `Invalid`."""
    titles.change(session, thing, change.title, if_match)
