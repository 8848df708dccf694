"""The document of what a deletion takes along."""

from collections import Counter
from collections.abc import Sequence

from pydantic import Field

from app.api.documents.base import Document
from app.upkeep.references import Thing

MOST_ITEMS = 1000


class DeletedItem(Document):
    """One resource that would be deleted."""

    kind: str
    id: str = Field(description="Of a model version name:number, of an alias name@alias.")
    href: str


class Deletion(Document):
    """What would be deleted: the resource, what belongs to it, and with `cascade` all that needs it, nearest first."""

    items: tuple[DeletedItem, ...]
    more: int = Field(description="Number of further resources, which are not in `items`.")
    counts: dict[str, int] = Field(description="Number of resources by kind.")

    @classmethod
    def of(cls, things: Sequence[Thing]) -> "Deletion":
        """The document of a plan that takes `things` along."""
        items = (DeletedItem(kind=thing.kind, id=thing.id, href=thing.href) for thing in things[:MOST_ITEMS])
        counts = Counter(thing.kind for thing in things)
        return cls(items=tuple(items), more=max(0, len(things) - MOST_ITEMS), counts=dict(counts))
