"""What all documents of the API share."""

from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")


class Document(BaseModel):
    """A document of the API, as OpenAPI describes it. Fields may be added at any time, and no field is removed."""

    model_config = ConfigDict(frozen=True, validate_by_alias=True, validate_by_name=True, serialize_by_alias=True)


Title = Annotated[str | None, Field(description="A name for people, in any script; null if it has none.")]
# A field that is left out of the document when it has no value; any other field is null then.
Omitted = Annotated[T | None, Field(default=None, exclude_if=lambda value: value is None)]


class Page(Document, Generic[T]):
    """One page of a list. `next` is the `token` of the next page; it is null on the last page."""

    items: tuple[T, ...]
    next: str | None


class Link(Document):
    """A web link (RFC 8288). `href` is a full URL in STAC documents and to next pages, else a path on the host."""

    href: str
    rel: str
    type: str = Field(description="Media type of the target.")


def link(href: str, rel: str, type_: str = "application/json") -> Link:
    """A link to `href` with the relation `rel`. type_: media type of the target."""
    return Link(href=href, rel=rel, type=type_)


def checksum(sha256: str) -> str:
    """A sha256, in hexadecimal, as the multihash that the field `file:checksum` of STAC requires."""
    return f"1220{sha256}"


CHECKSUM = "sha256 as a multihash: 1220 and 64 hexadecimal digits."
Checksum = Annotated[str, Field(alias="file:checksum", description=CHECKSUM)]
Software = Annotated[dict[str, str], Field(description="Versions of the software that made it, by name.")]
