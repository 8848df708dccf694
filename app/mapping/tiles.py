"""Map tiles of predictions and surveys: the encoded blocks of web COGs, served without decoding them."""

import io
import threading
import time
from dataclasses import dataclass
from functools import cache
from typing import Literal

from PIL import Image

from app.core import tenancy
from app.core.errors import NotFound
from app.data import scenes
from app.mapping import predictions, surveys
from app.services import Services
from ml.products.web_grid import TILE_PX
from ml.products.web_tiles import WebTiles, preview

Kind = Literal["prediction", "survey"]
PREDICTION: Kind = "prediction"
SURVEY: Kind = "survey"
_OPEN_FILES = 64  # each has some kB of offsets; a deleted file occupies the disk until it is closed here
_TRUSTED_S = 5.0  # a map that was deleted through another machine may be served for this many seconds
Layer = Literal["classes", "uncertainty"]
WEB_FILES: dict[Layer, str] = {"classes": "web.tif", "uncertainty": "uncertainty-web.tif"}
_Place = tuple[str, Kind, str, Layer]
_recent: dict[_Place, tuple[float, "Published"]] = {}  # with the monotonic time until which it is trusted
_adding = threading.Lock()


@dataclass(frozen=True)
class Published:
    """The tiles of a map, and the sha256 of the file that has all of them."""

    tiles: WebTiles
    sha256: str

    def webp(self, zoom: int, col: int, row: int) -> bytes:
        """The tile zoom/col/row as WEBP, transparent where the map shows nothing.

        Raises `NotFound` for a zoom that the file does not have, and for a column or row outside the zoom.
        """
        inside = self.tiles.min_zoom <= zoom <= self.tiles.max_zoom
        if not (inside and 0 <= col < 1 << zoom and 0 <= row < 1 << zoom):
            raise NotFound("tile", f"{zoom}/{col}/{row}")
        return self.tiles.read(zoom, col, row) or _transparent()

    def png(self, zoom: int, col: int, row: int) -> bytes:
        """The tile zoom/col/row as PNG, with the errors of `webp`."""
        with Image.open(io.BytesIO(self.webp(zoom, col, row)), formats=("WEBP",)) as image:
            return _encoded(image, "PNG")

    def preview(self, max_size: int, box: scenes.BBox) -> bytes:
        """The map inside a box in degrees, in Web Mercator as PNG, with sides of at most `max_size` pixels."""
        return _encoded(Image.fromarray(preview(self.tiles, max_size, box)), "PNG")


def published(services: Services, id_: str, kind: Kind = PREDICTION, layer: Layer = "classes") -> Published:
    """The tiles of a layer of a prediction or survey; a survey has only its classes.

    Raises `NotReady` before they exist, and `NotFound` if they were not requested.
    """
    if recent := recently_opened(services, id_, kind, layer):
        return recent
    stored = (surveys.stored if kind == SURVEY else predictions.stored)(services, id_, WEB_FILES[layer])
    path, place = services.store.file(stored.object), _place(services, id_, kind, layer)
    with _adding:
        _, found = _recent.pop(place, (0.0, None))
        if found is None or found.tiles.path != path or found.sha256 != stored.sha256:
            found = Published(WebTiles(path), stored.sha256)
        while len(_recent) >= _OPEN_FILES:
            _recent.pop(next(iter(_recent)))
        _recent[place] = time.monotonic() + _TRUSTED_S, found
    return found


def box(services: Services, id_: str, kind: Kind = PREDICTION) -> scenes.BBox:
    """The box of a map: west, south, east and north in degrees; west > east across the date line."""
    with services.database.read() as session:
        if kind == SURVEY:
            return surveys.box(session, id_)
        return scenes.get(session, predictions.get(session, id_).scene).info.bbox


def title(services: Services, id_: str, kind: Kind = PREDICTION) -> str | None:
    """The title of a prediction or survey. Raises `NotFound`."""
    with services.database.read() as session:
        return (surveys.get if kind == SURVEY else predictions.get)(session, id_).title


def recently_opened(
    services: Services, id_: str, kind: Kind = PREDICTION, layer: Layer = "classes"
) -> Published | None:
    """The tiles of a layer of a map if their file was opened lately, else None.

    The database is not asked, so the call is quick enough for an event loop. Products never change once they are
    published; only their deletion must be noticed, and it unlinks the files.
    """
    until, found = _recent.get(_place(services, id_, kind, layer), (0.0, None))
    return found if found and time.monotonic() < until and found.tiles.path.exists() else None


def _place(services: Services, id_: str, kind: Kind, layer: Layer) -> _Place:
    """The place of a layer of a map in `_recent`, which all tenants share."""
    return services.store.url, kind, tenancy.whole(id_), layer


@cache
def _transparent() -> bytes:
    return _encoded(Image.new("RGBA", (TILE_PX, TILE_PX)), "WEBP", lossless=True)


def _encoded(image: Image.Image, format_: str, **options: bool) -> bytes:
    target = io.BytesIO()
    image.save(target, format_, **options)
    return target.getvalue()
