"""What all answers share."""

from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")


class Document(BaseModel):
    """An answer of the API, as OpenAPI shows it. Fields may be added to it at any time, and none is taken away."""

    model_config = ConfigDict(frozen=True, validate_by_alias=True, validate_by_name=True, serialize_by_alias=True)


# A field that is left out where there is nothing to say; any other is null then.
Omitted = Annotated[T | None, Field(default=None, exclude_if=lambda value: value is None)]


class Page(Document, Generic[T]):
    """A part of a list. next: what `token` of the next page is; null on the last one."""

    items: tuple[T, ...]
    next: str | None


class Link(Document):
    """A web link (RFC 8288). href: host-relative, or whole where it leads from page to page."""

    href: str
    rel: str
    type: str = Field(description="Media type of what it leads to.")


def link(href: str, rel: str, type_: str = "application/json") -> Link:
    """A web link."""
    return Link(href=href, rel=rel, type=type_)


def checksum(sha256: str) -> str:
    """A sha256 as a multihash, which STAC's `file:checksum` wants."""
    return f"1220{sha256}"


Checksum = Annotated[str, Field(alias="file:checksum", description="sha256 as a multihash: 1220 and 64 digits.")]
Software = Annotated[dict[str, str], Field(description="Versions of what made it, by name.")]
