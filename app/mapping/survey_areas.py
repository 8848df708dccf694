"""The areas of a survey by zone, and how they differ from those of another survey."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.errors import Invalid, NotFound, invalid
from app.mapping import predictions, surveys, zone_areas, zones
from app.mapping.predictions import Areas
from app.services import Services
from app.storage import Stored
from app.tables import Survey, SurveyChange, SurveyZoneAreas, ZoneSet
from ml.contract import ClassDef
from ml.estimation.change import PointChange
from ml.surveys.change import Change, Transitions, change_of, class_faults
from ml.zones.inspect import Zone

NOT_BOTH = "No pixel was observed in both surveys, so nothing is known of the change."
WARP_COST = 4  # measuring a pixel of two mosaics takes as long as this number of pixels of one map


@dataclass(frozen=True)
class EstimatedChange:
    """The estimated change of a class. n: Numbers of points, earlier and later. method: As in `changes.SOURCES`."""

    change: PointChange
    n: tuple[int, int]
    method: str


Told = Callable[[str, Change, Zone | None], EstimatedChange | str]  # of a class: what samples tell, or why they do not


@dataclass(frozen=True)
class ChangeRow:
    """The change of one class in the whole ground of two surveys, or in a zone, in hectares.

    change: What the maps say. known: Whether any ground was observed in both. estimated: What samples tell; None if
    there are none, for the reason in `why`. unobserved_ha: Ground that neither has observed; None without zones.
    """

    class_name: str
    change: Change
    known: bool
    unobserved_ha: float | None
    why: str | None
    estimated: EstimatedChange | None = None
    zone: Zone | None = None


def task(services: Services, survey: str, name: str) -> zone_areas.Task | None:
    """What must be measured for the areas of a survey in a zone set; None if that was done.

    Raises `NotFound`, `NotReady`, or `Invalid` for unknown zones.
    """
    with services.database.read() as session:
        row, found = surveys.get(session, survey), zone_areas.known_zones(session, name)
        products, mosaic = surveys.result(session, row)
        if session.get(SurveyZoneAreas, (survey, name)) is not None:
            return None
    record = partial(SurveyZoneAreas, survey=survey, zones=name)
    return zone_areas.Task(found, products[surveys.MAP], mosaic.rows * mosaic.cols, record)


def areas(session: Session, survey: Survey, name: str) -> list[Areas]:
    """The areas of each zone, by class, once they were measured. Raises `NotFound`."""
    found, classes = zone_areas.measured(session, session.get(SurveyZoneAreas, (survey.id, name)), name)
    return zone_areas.rows(found, classes, surveys.classes_of(session, survey), surveys.NO_ESTIMATE)


@dataclass(frozen=True)
class ChangeTask:
    """What must be measured for the change between two surveys. maps, classes: Of the earlier and of the later one."""

    survey: str
    earlier: str
    zones: ZoneSet | None
    maps: tuple[Stored, Stored]
    classes: tuple[tuple[ClassDef, ...], tuple[ClassDef, ...]]
    px: int


def change_task(services: Services, survey: str, earlier: str, name: str | None) -> ChangeTask | None:
    """What must be measured for the change since an earlier survey, by zone or in all; None if that was done.

    Raises `NotFound`, `NotReady`, or `Invalid` for unknown zones or an earlier survey that cannot be compared.
    """
    with services.database.read() as session:
        row, before = surveys.get(session, survey), session.get(Survey, earlier)
        if before is None or before.id == row.id:
            hint = "Name another one: GET /v1/surveys lists the surveys."
            raise invalid("unknown-survey", f"There is no other survey {earlier!r}.", hint, "/with")
        used = None if name is None else zone_areas.known_zones(session, name)
        found = [surveys.result(session, each) for each in (before, row)]
        classes = surveys.classes_of(session, before), surveys.classes_of(session, row)
        if faults := class_faults(*classes):
            raise Invalid("not-comparable", *(fault.at("/with") for fault in faults))
        if _measured(session, survey, earlier, name) is not None:
            return None
    maps = found[0][0][surveys.MAP], found[1][0][surveys.MAP]
    return ChangeTask(survey, earlier, used, maps, classes, sum(each.rows * each.cols for _, each in found))


def measure_change(services: Services, wanted: ChangeTask) -> None:
    """Measure the change between two surveys, in a child process, and record it.

    Raises `Busy`, or `InputRefused` if that exceeds the limits of an inspection.
    """
    used = wanted.zones
    keys = [each.object for each in wanted.maps] + ([used.object] if used else [])
    limits = zone_areas.limits(services, WARP_COST * wanted.px)
    with zone_areas.taken(services, *keys) as (before, after, *layer):
        source = (layer[0], used.options) if used else None
        transitions = services.inspector.transitions(before, after, wanted.classes, source, limits)
    zones = used.id if used else None
    row = SurveyChange(survey=wanted.survey, earlier=wanted.earlier, zones=zones, transitions=transitions)
    zone_areas.record(services, row, used)


def changes(session: Session, survey: Survey, earlier: str, name: str | None, told: Told) -> Iterator[ChangeRow]:
    """The change of each class since an earlier survey, by zone or in all, once it was measured.

    told: Tells what samples say of the change of a class. Raises `NotFound`.
    """
    measured = _measured(session, survey.id, earlier, name)
    if measured is None:  # one of what it needs was deleted a moment ago
        raise NotFound("survey", earlier)
    classes = surveys.classes_of(session, survey)
    if name is None:
        yield from _rows(measured.whole or {}, classes, None, told)
        return
    by_code = measured.by_zone.by_code if measured.by_zone else {}
    for zone in zones.get(session, name).zones:
        yield from _rows(by_code.get(zone.code, {}), classes, zone, told)


def _rows(
    area_ha: dict[int, float], classes: tuple[ClassDef, ...], zone: Zone | None, told: Told
) -> Iterator[ChangeRow]:
    for item in predictions.told(classes):
        change = change_of(area_ha, classes.index(item))
        seen_ha = change.observed_ha + change.only_earlier_ha + change.only_later_ha
        unobserved_ha = zone_areas.rest_of(zone, seen_ha) if zone else None
        known = change.observed_ha > 0
        found = told(item.name, change, zone) if known else NOT_BOTH
        if isinstance(found, str):
            yield ChangeRow(item.name, change, known, unobserved_ha, found, zone=zone)
        else:
            why = found.change.net.why or found.change.gain.why
            yield ChangeRow(item.name, change, known, unobserved_ha, why, found, zone)


def _measured(session: Session, survey: str, earlier: str, name: str | None) -> Transitions | None:
    wanted = select(SurveyChange.transitions).where(SurveyChange.survey == survey, SurveyChange.earlier == earlier)
    return session.scalar(wanted.where(SurveyChange.zones == name).order_by(SurveyChange.id).limit(1))
