"""The small documents: landing, uploads, figures, TileJSON and health."""

from typing import Literal

from pydantic import Field

from app.api.documents.base import Document, Link
from ml.faults import Note


class Upload(Document):
    """An upload in pieces that has begun."""

    id: str
    offset: int = Field(description="Number of bytes that have arrived.")
    limit_bytes: int = Field(description="Largest size of a file, in bytes.")


class FigureLinks(Document):
    """A figure. `png` and `svg` are the addresses at which it is drawn."""

    name: str
    png: str
    svg: str


class Figures(Document):
    """All figures of a dataset, a training or an experiment."""

    items: tuple[FigureLinks, ...]


class TileJson(Document):
    """The map tiles of a scene or a prediction (TileJSON 3.0.0). `bounds`: west, south, east and north in degrees."""

    tilejson: Literal["3.0.0"] = "3.0.0"
    name: str
    scheme: Literal["xyz"] = "xyz"
    tiles: tuple[str, ...]
    minzoom: int
    maxzoom: int
    bounds: tuple[float, ...] = Field(min_length=4, max_length=4)


class Landing(Document):
    """What the service offers. The link to a collection has the relation `data`."""

    title: Literal["canemap"] = "canemap"
    links: tuple[Link, ...]


class Alive(Document):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Ready(Document):
    """Everything that a job needs is available."""

    status: Literal["ready"] = "ready"
    warnings: tuple[Note, ...] = Field((), description="What to repair although the service works: damaged files.")
