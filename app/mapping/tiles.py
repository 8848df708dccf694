"""Map tiles of predictions: the blocks of web.tif, handed out as they are."""

import io
import threading
import time
from dataclasses import dataclass
from functools import cache

from PIL import Image

from app.core.errors import NotFound
from app.data import scenes
from app.mapping import predictions
from app.services import Services
from ml.products.web_grid import TILE_PX
from ml.products.web_tiles import WebTiles, preview

_OPEN_FILES = 64  # each is some kB of offsets; what was deleted keeps its room on the disk until it leaves
_BELIEVED_S = 5.0  # so long a map may still be seen that was deleted through another machine
_recent: dict[tuple[str, str], tuple[float, "Published"]] = {}  # with the time until which it is believed to exist
_adding = threading.Lock()


@dataclass(frozen=True)
class Published:
    """The tiles of a prediction, and the sha256 of the file that holds them all."""

    tiles: WebTiles
    sha256: str

    def webp(self, zoom: int, col: int, row: int) -> bytes:
        """Tile z/x/y as WEBP; a transparent one where the map shows nothing.

        `NotFound` for a zoom that the file does not hold and for numbers that the zoom does not have.
        """
        inside = self.tiles.min_zoom <= zoom <= self.tiles.max_zoom
        if not (inside and 0 <= col < 1 << zoom and 0 <= row < 1 << zoom):
            raise NotFound("tile", f"{zoom}/{col}/{row}")
        return self.tiles.read(zoom, col, row) or _transparent()

    def png(self, zoom: int, col: int, row: int) -> bytes:
        """The same tile as PNG."""
        with Image.open(io.BytesIO(self.webp(zoom, col, row)), formats=("WEBP",)) as image:
            return _encoded(image, "PNG")

    def preview(self, max_size: int) -> bytes:
        """The whole map in Web Mercator as PNG, at most `max_size` px a side."""
        return _encoded(Image.fromarray(preview(self.tiles, max_size)), "PNG")


def published(services: Services, id_: str) -> Published:
    """The tiles of a prediction; `NotReady` before they exist, `NotFound` when they were not asked for."""
    if recent := at_hand(services, id_):
        return recent
    stored = predictions.stored(services, id_, "web.tif")
    path = services.store.file(stored.object)
    with _adding:
        _, found = _recent.pop((services.store.url, id_), (0.0, None))
        if found is None or found.tiles.path != path or found.sha256 != stored.sha256:
            found = Published(WebTiles(path), stored.sha256)
        while len(_recent) >= _OPEN_FILES:
            _recent.pop(next(iter(_recent)))
        _recent[services.store.url, id_] = time.monotonic() + _BELIEVED_S, found
    return found


def bounds(services: Services, id_: str) -> tuple[float, float, float, float]:
    """west, south, east, north in degrees; from -180 to 180 where the scene crosses the date line: TileJSON has no box
    for that.
    """
    with services.database.read() as session:
        west, south, east, north = scenes.get(session, predictions.get(session, id_).scene).info.bbox
    return (west, south, east, north) if west <= east else (-180.0, south, 180.0, north)


def at_hand(services: Services, id_: str) -> Published | None:
    """The same without the database, so quickly that an event loop may wait for it; None if it was not open lately.

    Products are published once, so only their end has to be noticed: whoever deletes a prediction unlinks its files.
    """
    until, found = _recent.get((services.store.url, id_), (0.0, None))
    return found if found and time.monotonic() < until and found.tiles.path.exists() else None


@cache
def _transparent() -> bytes:
    return _encoded(Image.new("RGBA", (TILE_PX, TILE_PX)), "WEBP", lossless=True)


def _encoded(image: Image.Image, format_: str, **options: bool) -> bytes:
    target = io.BytesIO()
    image.save(target, format_, **options)
    return target.getvalue()
