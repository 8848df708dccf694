"""The areas of a prediction by zone."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.core.columns import Base
from app.core.errors import NotFound, invalid
from app.core.room import no_room_is_told
from app.inspection.limits import Limits
from app.learning import registry
from app.mapping import predictions, zones
from app.mapping.predictions import Areas
from app.services import Services
from app.storage import Stored
from app.tables import Prediction, Scene, SurveyZoneAreas, ZoneAreas, ZoneSet
from ml.contract import ClassDef
from ml.faults import Fault
from ml.scenes.applicability import Level
from ml.zones.areas import ClassesByZone, observed_ha
from ml.zones.inspect import Zone

MEASURED_PX_PER_S = 2_000_000  # on one core: a sixth of what a slow core measures where ten zones meet in each window
ROUNDING = 1e-9  # share of a zone by which its own area and the sum of its pixels may differ
OUTSIDE = "The zone lies outside the scene, so nothing is known of it."
UNOBSERVED = "No valid pixel of the scene lies in the zone, so nothing is known of it."
NO_ESTIMATE = (
    "The errors of the model are known for whole scenes, and may be others in a zone. An estimate needs a sample of "
    "points in the zone."
)
_NO_MAP = Fault(
    "no_map", "The prediction has no map of classes.", 'Predict again with "classes" in config.outputs.', "/zones"
)


@dataclass(frozen=True)
class Task:
    """What must be measured. map: The class map in the store. px: Number of its pixels. row: Made of the `classes`."""

    zones: ZoneSet
    map: Stored
    px: int
    row: Callable[..., ZoneAreas | SurveyZoneAreas]


def task(services: Services, prediction: str, name: str) -> Task | None:
    """What must be measured for the areas of a prediction in a zone set; None if that was done.

    Raises `NotFound`, also for a prediction without a map of classes, `NotReady`, or `Invalid` for unknown zones.
    """
    with services.database.read() as session:
        map_, found = predictions.get(session, prediction), known_zones(session, name)
        products = predictions.products_of(session, map_)
        if session.get(ZoneAreas, (prediction, name)) is not None:
            return None
        info = session.get_one(Scene, map_.scene).info
    if "classes.tif" not in products:
        raise NotFound("product", f"{prediction}/classes.tif", _NO_MAP)
    row = partial(ZoneAreas, prediction=prediction, zones=name)
    return Task(found, products["classes.tif"], info.rows * info.cols, row)


def known_zones(session: Session, name: str) -> ZoneSet:
    """The zone set that a query names. Raises `Invalid`."""
    found = session.get(ZoneSet, name)
    if found is None:
        raise invalid("unknown-zones", f"There is no zone set {name!r}.", "GET /v1/zones lists the zones.", "/zones")
    return found


def measure(services: Services, wanted: Task) -> None:
    """Measure what a map has in each zone, in a child process, and record it.

    Raises `Busy`, or `InputRefused` if that exceeds the limits of an inspection.
    """
    with taken(services, wanted.zones.object, wanted.map.object) as (source, map_):
        classes = services.inspector.zone_areas(source, wanted.zones.options, map_, limits(services, wanted.px))
    record(services, wanted.row(classes=classes), wanted.zones)


def limits(services: Services, px: int) -> Limits:
    """The limits of measuring this number of pixels."""
    least = services.inspector.limits
    return Limits(memory_bytes=least.memory_bytes, core_s=least.core_s + px // MEASURED_PX_PER_S)


@contextmanager
def taken(services: Services, *keys: str) -> Iterator[list[Path]]:
    """The paths of objects of the store, for a block that reads them."""
    with (
        no_room_is_told(),
        services.store.incoming() as place,
        TemporaryDirectory(prefix=place.name, dir=place.parent) as folder,
    ):
        yield [services.store.take(key, Path(folder)) for key in keys]


def record(services: Services, row: Base, used: ZoneSet | None) -> None:
    """Keep what was measured, unless its zones are others now, or gone. used: By which it was measured."""
    try:
        with services.database.write() as session:
            if used is not None:
                current = session.get(ZoneSet, used.id, with_for_update=True)
                if current is None or current.object != used.object:
                    return
            session.add(row)
    except IntegrityError:  # another process has recorded it, or its map was deleted meanwhile
        return


def areas(session: Session, prediction: Prediction, name: str) -> list[Areas]:
    """The areas of each zone, by class, once they were measured. Raises `NotFound`."""
    found, classes = measured(session, session.get(ZoneAreas, (prediction.id, name)), name)
    model = registry.get(session, prediction.model, str(prediction.version))
    level = prediction.areas.applicability.level if prediction.areas else None
    return rows(found, classes, model.contract.classes, NO_ESTIMATE, level)


def measured(
    session: Session, row: ZoneAreas | SurveyZoneAreas | None, name: str
) -> tuple[Sequence[Zone], ClassesByZone]:
    """The zones of a set, and what a map has in each. row: What was measured. Raises `NotFound` if it is not there."""
    found = zones.get(session, name)
    if row is None:  # one of both was deleted a moment ago
        raise NotFound("zone set", name)
    return found.zones, row.classes


def rows(
    every: Sequence[Zone],
    measured: ClassesByZone,
    classes: tuple[ClassDef, ...],
    no_estimate: str,
    level: Level | None = None,
) -> list[Areas]:
    """The areas of all zones. no_estimate: Why none is made. level: Whether the scene is like the training."""
    by_code, told = measured.by_code, predictions.told(classes)
    by_zone = (_rows(zone, by_code.get(zone.code, {}), told, no_estimate, level) for zone in every)
    return [row for found in by_zone for row in found]


def _rows(
    zone: Zone, area_ha: dict[int, float], classes: tuple[ClassDef, ...], no_estimate: str, level: Level | None
) -> list[Areas]:
    """The areas of one zone. area_ha: What the map has in it, by class value."""
    seen_ha = observed_ha(area_ha)
    why = no_estimate if seen_ha else UNOBSERVED if area_ha else OUTSIDE
    return [
        Areas.mapped(
            item.name,
            area_ha.get(item.value, 0.0) if seen_ha else None,
            seen_ha,
            rest_of(zone, seen_ha),
            why,
            applicability=level if seen_ha else None,
            zone=zone.code,
            name=zone.name,
            parent=zone.parent,
            overlap_ha=zone.overlap_ha,
        )
        for item in classes
    ]


def rest_of(zone: Zone, seen_ha: float) -> float:
    """Hectares of a zone beside those that were seen; 0 if that is but rounding."""
    unseen_ha = zone.area_ha - seen_ha
    return unseen_ha if unseen_ha > ROUNDING * zone.area_ha else 0.0
