"""Preconditions: which state of a resource a client has read (ETag), and whether it is still that one (If-Match)."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from app.core.errors import PreconditionFailed

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def tag_of(created: datetime, revision: int) -> str:
    """The ETag of a resource, without quotes.

    created: When it was made; so a resource that was deleted and made again has other tags. revision: Grows with each
    change.
    """
    return f"{(created - _EPOCH) // timedelta(microseconds=1):x}-{revision}"


@dataclass(frozen=True)
class IfMatch:
    """The condition of a request. tags: ETags of which the resource must have one, or "*" for any; None for none."""

    tags: frozenset[str] | None = None

    def check(self, tag: str | None) -> None:
        """Raise `PreconditionFailed` unless the resource meets the condition.

        tag: ETag of the resource; None if it does not exist.
        """
        if self.tags is None or (tag is not None and self.tags & {tag, "*"}):
            return
        detail = "It has changed since you read it: read it again." if tag else "There is no such resource to change."
        raise PreconditionFailed("etag-mismatch", detail)


ANY = IfMatch()
