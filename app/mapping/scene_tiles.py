"""Pictures of scenes for web maps: tiles and previews, which are drawn when they are asked for.

The file of a scene is a stranger's: it is read in a child process, like every upload.
"""

import hashlib
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np

from app.core.errors import NotFound
from app.data import scenes
from app.inspection.tasks import DrawScene, as_png
from app.services import Services
from app.tables import Scene
from ml.faults import Fault, InputRefused, refuse_any
from ml.products.scene_picture import Percentiles, Place, Range, Style, preview_place, tile_place
from ml.products.web_grid import MAX_ZOOM, TILE_PX, WebGrid, web_grid_of, world_box
from ml.scenes.bands import find_band, in_true_colour
from ml.scenes.inspect import SceneInfo
from ml.scenes.source import MOST

VERSION = 1  # of how pictures look; a new one makes the copies of clients outdated
_KNOWN_RANGES = 4096
_PERCENTILE = re.compile(r"p(\d{1,3}(?:\.\d{1,6})?)", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
_STRETCH_HINT = (
    "Write two percentiles, stretch=p2,p98, or two values, stretch=0,3000; for three bands also two values for each "
    "in turn. The lower one comes first."
)
_NO_TILES = Fault(
    "no_tiles",
    "The scene lies beyond the 85th parallels, where web maps have no tiles.",
    "Download its `data` instead.",
)
_recent: dict[str, tuple[Range, ...]] = {}  # the ranges of percentiles by scene, bands and percentiles
_adding = threading.Lock()


@dataclass(frozen=True)
class Drawing:
    """A scene, and how it is drawn. scene: Its row. style: Bands and stretch."""

    scene: Scene
    style: Style

    @cached_property
    def tiles(self) -> WebGrid:
        """The tiles of the scene. Raises `NotFound` if it lies where web maps have none."""
        found = web_grid_of(self.scene.info)
        if found is None:
            raise NotFound("tile", self.scene.id, _NO_TILES)
        return found

    def tag(self, *place: int) -> str:
        """The ETag of a picture: a hash of all that it depends on. place: Zoom, column and row, or a size."""
        scene, names = self.scene, _names(self.scene.info)
        parts = (VERSION, scene.sha256, scene.nodata, names, self.style.model_dump_json(), place)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]

    def tile(self, zoom: int, col: int, row: int) -> Place | None:
        """The place of a tile, or None if the scene does not touch it. Raises `NotFound` for one that cannot exist."""
        if not (0 <= zoom <= MAX_ZOOM and 0 <= col < 1 << zoom and 0 <= row < 1 << zoom):
            raise NotFound("tile", f"{zoom}/{col}/{row}")
        return tile_place(zoom, col, row) if self.tiles.touches(zoom, col, row) else None

    def preview(self, max_size: int) -> Place:
        """The place of a picture of the whole scene with sides of at most `max_size` pixels."""
        tiles, box = self.tiles, world_box(self.scene.info.bbox)
        assert box is not None  # otherwise there would be no tiles
        return preview_place(box, tiles.zoom, max_size)


def draw(services: Services, drawing: Drawing, cog: Path, place: Place) -> bytes:
    """A picture of a scene as PNG. cog: The path of the scene as a cloud-optimised GeoTIFF.

    Raises `Busy`, and `InputRefused` if the file exceeds the limits of an inspection.
    """
    scene, info, style = drawing.scene, drawing.scene.info, drawing.style
    key = f"{scene.sha256} {scene.nodata} {len(info.bands)} {style.model_dump_json()}"
    if known := _recent.get(key):
        style = Style(bands=style.bands, stretch=known)
    extremes = tuple((band.statistics.min, band.statistics.max) for band in info.bands)
    task = DrawScene(path=cog, nodata=scene.nodata, names=_names(info), extremes=extremes, style=style, place=place)
    drawn = services.inspector.picture(task)
    if drawn.ranges and not known:
        _remember(key, drawn.ranges)
    return drawn.png


@cache
def empty_tile() -> bytes:
    """A transparent tile as PNG."""
    return as_png(np.zeros((TILE_PX, TILE_PX, 4), np.uint8))


def style_of(info: SceneInfo, bands: str | None, stretch: str | None) -> Style:
    """How a scene is drawn for the parameters `bands` and `stretch`. Raises `InputRefused` with all faults of both."""
    numbers, faults = _numbers(_names(info), bands)
    wanted = None
    try:
        wanted = None if stretch is None else read_stretch(stretch)
    except InputRefused as refused:
        faults += [fault.at("/stretch") for fault in refused.faults]
    if isinstance(wanted, tuple) and not faults:
        if len(wanted) not in (1, len(numbers)):
            detail = f"{len(wanted)} pairs of values do not fit the number of bands, which is {len(numbers)}."
            faults.append(_bad_stretch(detail).at("/stretch"))
        wanted = wanted * len(numbers) if len(wanted) == 1 else wanted
    refuse_any(faults)
    return Style(bands=numbers, stretch=wanted)


def read_stretch(text: str) -> Percentiles | tuple[Range, ...]:
    """The percentiles, or the ranges of values, that a text for `stretch` means. Raises `InputRefused`."""
    parts = [part.strip() for part in text.split(",")]
    percentiles = [float(match[1]) for part in parts if (match := _PERCENTILE.fullmatch(part))]
    if len(parts) == len(percentiles) == 2:
        low, high = percentiles
        if low < high <= 100:
            return Percentiles(low=low, high=high)
        raise InputRefused(_bad_stretch("The percentiles do not rise, or go beyond 100."))
    if len(parts) not in (2, 6) or not all(_NUMBER.fullmatch(part) for part in parts):
        raise InputRefused(_bad_stretch("This is neither a pair of percentiles nor one or three pairs of values."))
    values = [float(part) for part in parts]
    ranges = tuple(zip(values[::2], values[1::2], strict=True))
    if not all(-MOST <= low < high <= MOST for low, high in ranges):
        raise InputRefused(_bad_stretch("The first value of a pair is not below the second, or is too large."))
    return ranges


def _bad_stretch(detail: str) -> Fault:
    return Fault("bad_stretch", detail, _STRETCH_HINT)


def _numbers(names: Sequence[str], bands: str | None) -> tuple[tuple[int, ...], list[Fault]]:
    """The numbers, from 0, of the bands in a text, or of the default ones; and what is wrong with the text."""
    if bands is None:
        return in_true_colour(names), []
    wanted = bands.split(",")
    found = [find_band(names, text) for text in wanted]
    return tuple(number for number in found if number is not None), list(_band_faults(names, wanted, found))


def _band_faults(names: Sequence[str], wanted: Sequence[str], found: Sequence[int | None]) -> Iterator[Fault]:
    if len(wanted) not in (1, 3):
        hint = "Name one band, drawn in grey, or three, drawn in red, green and blue."
        yield Fault("bad_bands", f"A picture cannot have {len(wanted)} bands.", hint, "/bands")
    listed = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    for text in [text for text, number in zip(wanted, found, strict=True) if number is None]:
        hint = f"Write names or numbers from 1 to {len(names)}. The names are: {listed}."
        yield Fault("unknown_band", f"The scene has no band {text.strip()[:80]!r}.", hint, "/bands")


def _names(info: SceneInfo) -> tuple[str, ...]:
    return tuple(band.name for band in info.bands)


def _remember(key: str, ranges: tuple[Range, ...]) -> None:
    with _adding:
        while len(_recent) >= _KNOWN_RANGES:
            _recent.pop(next(iter(_recent)))
        _recent[key] = ranges


def stored(services: Services, id_: str) -> Scene:
    """The row of a scene. Raises `NotFound`."""
    with services.database.read() as session:
        return scenes.get(session, id_)
