"""Preconditions: which state of a resource a client has read (ETag), and whether it is still that one (If-Match).

With If-None-Match a client says that it must not be there, or not in a certain state.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from app.core.errors import PreconditionFailed

EVERY = '"'  # stands for `*`, any ETag of a resource that exists; an ETag cannot contain it
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def tag_of(created: datetime, revision: int) -> str:
    """The ETag of a resource, without quotes.

    created: When it was made; so a resource that was deleted and made again has other tags. revision: Grows with each
    change.
    """
    return f"{(created - _EPOCH) // timedelta(microseconds=1):x}-{revision}"


@dataclass(frozen=True)
class IfMatch:
    """The condition of a request. In both sets of ETags, `EVERY` stands for all; None is no condition.

    tags: The resource must have one of them (If-Match). not_tags: It must have none of them (If-None-Match).
    """

    tags: frozenset[str] | None = None
    not_tags: frozenset[str] | None = None

    def check(self, tag: str | None) -> None:
        """Raise `PreconditionFailed` unless the resource meets the condition.

        tag: ETag of the resource; None if it does not exist.
        """
        own = frozenset() if tag is None else frozenset({tag, EVERY})
        if self.tags is not None and not self.tags & own:
            what = "It has changed since you read it: read it again." if tag else "There is no such resource to change."
            raise PreconditionFailed("etag-mismatch", what)
        if self.not_tags is not None and self.not_tags & own:
            raise PreconditionFailed("etag-match", "It is there already, in a state that If-None-Match excludes.")


ANY = IfMatch()
