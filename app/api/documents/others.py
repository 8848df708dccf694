"""Small answers: uploads, figures, TileJSON, health."""

from typing import Literal

from pydantic import Field

from app.api.documents.base import Document


class Upload(Document):
    """An upload that has begun."""

    id: str
    offset: int = Field(description="Bytes that have arrived.")
    limit_bytes: int = Field(description="Most bytes of a file.")


class FigureLinks(Document):
    """A figure. png, svg: where it is."""

    name: str
    png: str
    svg: str


class Figures(Document):
    """The figures that there are."""

    items: tuple[FigureLinks, ...]


class TileJson(Document):
    """TileJSON 3.0.0. bounds: west, south, east, north in degrees."""

    tilejson: Literal["3.0.0"] = "3.0.0"
    name: str
    scheme: Literal["xyz"] = "xyz"
    tiles: tuple[str, ...]
    minzoom: int
    maxzoom: int
    bounds: tuple[float, float, float, float]


class Alive(Document):
    """The process lives."""

    status: Literal["ok"] = "ok"


class Ready(Document):
    """Everything that a job needs is there."""

    status: Literal["ready"] = "ready"
