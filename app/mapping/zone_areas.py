"""The areas of a prediction by zone."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.core.errors import NotFound, invalid
from app.core.room import no_room_is_told
from app.inspection.limits import Limits
from app.learning import registry
from app.mapping import predictions, zones
from app.mapping.predictions import MU_PER_HA, Areas
from app.services import Services
from app.storage import Stored
from app.tables import ModelVersion, Prediction, Scene, ZoneAreas, ZoneSet
from ml.faults import Fault
from ml.zones.areas import observed_ha
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
    """What must be measured. map: The class map in the store. size: Its rows and columns."""

    prediction: str
    zones: ZoneSet
    map: Stored
    size: tuple[int, int]


def task(services: Services, prediction: str, name: str) -> Task | None:
    """What must be measured for the areas of a prediction in a zone set; None if that was done.

    Raises `NotFound`, also for a prediction without a map of classes, `NotReady`, or `Invalid` for unknown zones.
    """
    with services.database.read() as session:
        row, found = predictions.get(session, prediction), session.get(ZoneSet, name)
        if found is None:
            hint = "GET /v1/zones lists the zones."
            raise invalid("unknown-zones", f"There is no zone set {name!r}.", hint, "/zones")
        products = predictions.products_of(session, row)
        if session.get(ZoneAreas, (prediction, name)) is not None:
            return None
        info = session.get_one(Scene, row.scene).info
    if "classes.tif" not in products:
        raise NotFound("product", f"{prediction}/classes.tif", _NO_MAP)
    return Task(prediction, found, products["classes.tif"], (info.rows, info.cols))


def measure(services: Services, wanted: Task) -> None:
    """Measure what a map has in each zone, in a child process, and record it.

    Raises `Busy`, or `InputRefused` if that exceeds the limits of an inspection.
    """
    least = services.inspector.limits
    px = wanted.size[0] * wanted.size[1]
    limits = Limits(memory_bytes=least.memory_bytes, core_s=least.core_s + px // MEASURED_PX_PER_S)
    with (
        no_room_is_told(),
        services.store.incoming() as place,
        TemporaryDirectory(prefix=place.name, dir=place.parent) as folder,
    ):
        source, map_ = (services.store.take(key, Path(folder)) for key in (wanted.zones.object, wanted.map.object))
        classes = services.inspector.zone_areas(source, wanted.zones.options, map_, limits)
    try:
        with services.database.write() as session:
            current = session.get(ZoneSet, wanted.zones.id, with_for_update=True)
            if current is None or current.object != wanted.zones.object:
                return
            session.add(ZoneAreas(prediction=wanted.prediction, zones=wanted.zones.id, classes=classes))
    except IntegrityError:  # another process has recorded it, or the prediction was deleted meanwhile
        return


def areas(session: Session, prediction: Prediction, name: str) -> list[Areas]:
    """The areas of each zone, by class, once they were measured. Raises `NotFound`."""
    found, measured = zones.get(session, name), session.get(ZoneAreas, (prediction.id, name))
    if measured is None:  # one of both was deleted a moment ago
        raise NotFound("zone set", name)
    model = registry.get(session, prediction.model, str(prediction.version))
    by_code = measured.classes.by_code
    return [row for zone in found.zones for row in _rows(zone, by_code.get(zone.code, {}), prediction, model)]


def _rows(zone: Zone, area_ha: dict[int, float], prediction: Prediction, model: ModelVersion) -> list[Areas]:
    """The areas of one zone. area_ha: What the map has in it, by class value."""
    seen_ha = observed_ha(area_ha)
    unseen_ha = zone.area_ha - seen_ha
    why = NO_ESTIMATE if seen_ha else UNOBSERVED if area_ha else OUTSIDE
    rows = []
    for item in predictions.classes_with_areas(model.contract):
        mapped_ha = area_ha.get(item.value, 0.0) if seen_ha else None
        row = Areas(
            zone=zone.code,
            name=zone.name,
            parent=zone.parent,
            class_name=item.name,
            observed_ha=seen_ha,
            unobserved_ha=unseen_ha if unseen_ha > ROUNDING * zone.area_ha else 0.0,
            overlap_ha=zone.overlap_ha,
            mapped_ha=mapped_ha,
            mapped_mu=None if mapped_ha is None else MU_PER_HA * mapped_ha,
            adjusted_ha=None,
            ci95_ha=None,
            why=why,
            applicability=prediction.areas.applicability.level if seen_ha and prediction.areas else None,
            outside_share=None,
            outside_ha=None,
        )
        rows.append(row)
    return rows
