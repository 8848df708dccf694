"""Scenes: uploaded GeoTIFFs."""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from app.core.columns import now
from app.core.errors import Conflict, invalid
from app.core.idempotency import FRESH, IdempotentRequest
from app.core.names import check_texts
from app.core.paging import Page, page
from app.core.preconditions import ANY, IfMatch
from app.core.room import no_room_is_told
from app.core.rows import getter
from app.data import uploaded
from app.inspection.inspector import CORES
from app.inspection.limits import Limits
from app.requests.data import ScenePatch
from app.services import Services
from app.storage import Stored, Upload, new_place
from app.storage.store import sha256_in
from app.tables import Scene
from ml.faults import Fault, InputRefused
from ml.scenes.inspect import SceneInfo

BBox = tuple[float, float, float, float]  # west, south, east, north in degrees; west > east across the date line
MOMENT = re.compile(r"\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:[Zz]|[+-]\d\d:\d\d)?)?", re.ASCII)
Interval = tuple[datetime | None, datetime | None]  # start and end; None is an open end
get = getter(Scene, "scene")
locked = getter(Scene, "scene", lock=True)

MOST_COMPRESSED = 100  # bytes of pixels in one byte of a scene; whoever has a sparser one can send it as a COG
COPIED_BYTES_PER_S = 4_000_000  # of pixels, on one core: a third of what a slow core copies
OTHER_BYTES = 64 << 20  # of a copy beside the bytes that grow with its pixels
CACHED_ROWS, MOST_CACHED_BYTES = 1024, 4 << 30  # of pixels, in memory
THREAD_BYTES = 16 << 20  # of each thread that compresses a copy


@dataclass(frozen=True)
class Selection:
    """What of a list is wanted: what touches a box, is of a time, and has one of some ids. None stands for any."""

    bbox: BBox | None = None
    between: Interval = (None, None)
    ids: Collection[str] | None = None


EVERYTHING = Selection()


@dataclass(frozen=True)
class SceneOptions:
    """What a client states about a scene in addition to the file."""

    acquired: datetime | None = None
    sensor: str | None = None
    bands: tuple[str, ...] | None = None
    nodata: float | None = None


def add(
    services: Services,
    name: str,
    upload: Upload,
    options: SceneOptions,
    if_match: IfMatch = ANY,
    once: IdempotentRequest = FRESH,
    title: str | None = None,
) -> tuple[Scene, bool]:
    """Store an uploaded scene; returns it, and whether it is new. The same bytes again are the same scene.

    title: Of a new scene; that of a known one stays.

    if_match: What the scene of this name must be. once: Where the request may be repeated.

    Raises `InputRefused` for a file that is not a usable scene, and `Conflict` if the name is taken by another scene.
    """

    def make() -> Scene:
        info = services.inspector.scene(upload.path, bands=options.bands, nodata=options.nodata)
        check_texts(info, "the scene")
        if services.settings.scene_limit_px < info.rows * info.cols:
            raise InputRefused(_too_many_pixels(info, services.settings.scene_limit_px))
        stored = services.store.put(upload.path, new_place("scenes", name, "scene.tif"), sha256=upload.sha256)
        return _row(name, info, options, stored, title)

    def check_same(existing: Scene) -> None:
        check_same_file(existing)
        _check_same_statements(existing, options)

    def check_same_file(existing: Scene) -> None:
        _check_same_file(existing, upload, options)

    return uploaded.add(
        services, Scene, get, name, make, check_same, if_match=if_match, once=once, check_repeated=check_same_file
    )


def by_id(session: Session, ids: Iterable[str]) -> dict[str, Scene]:
    """The scenes with these ids, by id. Unknown ids are left out."""
    return {scene.id: scene for scene in session.scalars(select(Scene).where(Scene.id.in_(set(ids))))}


def find(session: Session, which: Selection = EVERYTHING, *, limit: int, token: str | None) -> Page[Scene]:
    """Scenes that touch a box, were acquired in a time and have one of some ids, newest upload first."""
    wanted = select(Scene).where(*filters(which.bbox, which.between))
    if which.ids is not None:
        wanted = wanted.where(Scene.id.in_(which.ids))
    return page(session, wanted, Scene.created, Scene.id, limit=limit, token=token)


def filters(bbox: BBox | None, between: Interval) -> Iterator[ColumnElement[bool]]:
    """SQL conditions: the bounding box of a scene touches `bbox`, and the scene was acquired in `between`."""
    if bbox is not None:
        west, south, east, north = bbox
        beside = or_(*(_from_to(*longitudes) for longitudes in _longitudes(west, east)))
        yield and_(beside, Scene.south <= north, Scene.north >= south)
    start, end = between
    if start is not None:
        yield Scene.acquired >= start
    if end is not None:
        yield Scene.acquired <= end


def _longitudes(west: float, east: float) -> Iterator[tuple[float, float]]:
    """The ranges of longitudes of a box that do not cross the date line, which is both -180 and 180 degrees."""
    if west > east:
        yield from ((west, 180.0), (-180.0, east))
        return
    yield west, east
    if west == -180:
        yield 180.0, 180.0
    if east == 180:
        yield -180.0, -180.0


def _from_to(west: float, east: float) -> ColumnElement[bool]:
    """SQL condition: the longitudes of a scene touch those from `west` to `east`."""
    from_west, from_east = Scene.west <= east, Scene.east >= west
    across = and_(Scene.west > Scene.east, or_(from_west, from_east))  # the scene crosses the date line
    return or_(and_(from_west, from_east), across)


def patch(session: Session, name: str, change: ScenePatch, if_match: IfMatch = ANY) -> Scene:
    """Correct the time of acquisition, the sensor or the title of a scene.

    Raises `NotFound`, `PreconditionFailed` if the scene has changed, or `Invalid` for a time that cannot be read.
    """
    scene = locked(session, name)
    if_match.check(scene.tag)
    if change.acquired is not None:
        scene.acquired = read_acquired(change.acquired, "/acquired")
    if change.sensor is not None:
        scene.sensor = change.sensor
    if "title" in change.model_fields_set:
        scene.title = change.title
    scene.revision += 1
    scene.updated = now()
    return scene


def forget_copy(services: Services, key: str) -> None:
    """Delete the cloud-optimised copy, if there is one, of a scene that was deleted. key: Of its file."""
    services.cache.drop(f"{sha256_in(key)}.cog.tif")


def ready_cog(services: Services, name: str) -> Path | None:
    """The path of a scene as a cloud-optimised GeoTIFF, if it can be told without opening the scene, else None.

    Raises `NotFound`.
    """
    with services.database.read() as session:
        scene = get(session, name)
    return services.store.file(scene.object) if scene.info.cog else services.cache.find(_cog_name(scene))


def cog(services: Services, name: str) -> Path:
    """The path of a scene as a cloud-optimised GeoTIFF: the uploaded file if it is one, else a copy.

    The copy is made at the first call. Raises `NotFound`, or `InputRefused` if it exceeds the limits of an inspection.
    """
    with services.database.read() as session:
        scene = get(session, name)
    original = services.store.file(scene.object)
    try:
        return services.cache.get(_cog_name(scene), lambda path: _copy(services, scene, original, path))
    except _CogAlready:
        return original


class _CogAlready(Exception):
    """The scene needs no copy, because it is a cloud-optimised GeoTIFF."""


def _copy(services: Services, scene: Scene, original: Path, path: Path) -> None:
    """Copy a scene to `path` as a cloud-optimised GeoTIFF. Raises `_CogAlready`."""
    with no_room_is_told(), TemporaryDirectory(prefix=path.name, dir=path.parent) as folder:
        out = Path(folder, "cog.tif")
        if not services.inspector.cog(original, out, _limits_of_copy(services.inspector.limits, scene)):
            raise _CogAlready
        out.replace(path)


def _limits_of_copy(least: Limits, scene: Scene) -> Limits:
    """The limits for a copy of a scene, which takes longer the larger the scene is.

    A file of a few bytes may declare any number of pixels, so no more of them count than such a number of bytes holds
    in the scenes of satellites.
    """
    row_bytes = scene.info.cols * (len(scene.info.bands) + 1) * np.dtype(scene.info.dtype).itemsize
    counted = min(scene.info.rows * row_bytes, MOST_COMPRESSED * scene.size_bytes)
    return Limits(
        memory_bytes=least.memory_bytes + CORES * THREAD_BYTES + min(CACHED_ROWS * row_bytes, MOST_CACHED_BYTES),
        core_s=least.core_s + counted // COPIED_BYTES_PER_S,
        disk_bytes=4 * counted + OTHER_BYTES,
    )


def read_acquired(text: str, pointer: str) -> datetime:
    """The time of acquisition that `parse_time` reads. Raises `Invalid`, also for a time that has not come yet."""
    moment = parse_time(text, pointer)
    if moment > now() + timedelta(days=1):  # a date of the east, or a clock, may be ahead of UTC
        detail = "This time has not come yet, so no scene was acquired then."
        raise invalid("invalid-datetime", detail, "Write the time of acquisition, not that of a plan.", pointer)
    return moment


def parse_time(text: str, pointer: str) -> datetime:
    """A date or an RFC 3339 time, converted to UTC. A time without a zone is read as UTC. Raises `Invalid`."""
    try:
        if not MOMENT.fullmatch(text):
            raise ValueError(text)
        moment = datetime.fromisoformat(text.upper())  # RFC 3339 allows t and z
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:  # in UTC it may fall in the year 0 or 10000
        raise invalid(
            "invalid-datetime",
            "This is neither a date nor a time.",
            "Write 2018-10-12 or 2018-10-12T03:04:05Z.",
            pointer,
        ) from error


def _row(name: str, info: SceneInfo, options: SceneOptions, stored: Stored, title: str | None) -> Scene:
    west, south, east, north = info.bbox
    return Scene(
        id=name,
        title=title,
        sha256=stored.sha256,
        size_bytes=stored.size_bytes,
        object=stored.object,
        acquired=options.acquired,
        sensor=options.sensor,
        nodata=options.nodata,
        info=info,
        west=west,
        south=south,
        east=east,
        north=north,
    )


def _check_same_statements(existing: Scene, options: SceneOptions) -> None:
    if options.acquired not in (None, existing.acquired) or options.sensor not in (None, existing.sensor):
        raise Conflict(
            "name-taken", f"Scene {existing.id!r} has these bytes, but another time or sensor: correct it with PATCH."
        )


def _check_same_file(existing: Scene, upload: Upload, options: SceneOptions) -> None:
    if existing.sha256 != upload.sha256:
        raise Conflict(
            "name-taken", f"There is another scene {existing.id!r} already: choose another name, or delete it."
        )
    bands = tuple(band.name for band in existing.info.bands)
    if options.bands not in (None, bands) or options.nodata not in (None, existing.nodata):
        raise Conflict(
            "name-taken",
            f"Scene {existing.id!r} has these bytes, but other bands or nodata: delete it and put it again.",
        )


def _cog_name(scene: Scene) -> str:
    return f"{scene.sha256}.cog.tif"


def _too_many_pixels(info: SceneInfo, limit_px: int) -> Fault:
    return Fault(
        "too_many_pixels",
        f"The scene has {info.rows} x {info.cols} pixels; this service takes at most {limit_px}.",
        "Cut the scene into parts, or raise CANEMAP_SCENE_LIMIT_PX.",
    )
