"""Surveys: put the maps of all scenes together as one mosaic, when all of them exist."""

from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import update
from sqlalchemy.orm import Session

from app.mapping import surveys
from app.services import Services
from app.storage import Stored
from app.tables import SurveyScene, SurveyZoneAreas, ZoneSet
from ml.contract import ClassDef
from ml.faults import Fault, InputRefused
from ml.geo.crs import crs_from_code
from ml.geo.memory import memory_within
from ml.products.palette import colours_to_show
from ml.products.web_cog import write_web_cog
from ml.progress import Progress
from ml.surveys.mosaic import FILES, make_mosaic
from ml.surveys.order import SurveyMap
from ml.zones.areas import ClassesByZone, classes_by_zone
from ml.zones.read import Zones
from worker import scratch
from worker.context import JobContext, Outcome

_PX_BYTES = 3  # of unfinished results for each pixel of the maps: a class, and the number of a scene


def run(services: Services, context: JobContext, folder: Path) -> Outcome:
    """Make the mosaic of the job. folder: scratch folder, beside which the inputs are.

    Raises `InputRefused` when a scene could not be mapped.
    """
    with services.database.read() as session:
        survey = surveys.get(session, context.claim.job_id)
        members = surveys.members(session, survey.id)
        _refuse_failed(members)
        classes = surveys.classes_of(session, survey)
        zones = session.get(ZoneSet, survey.options.zones) if survey.options.zones else None
    scratch.require(folder, _PX_BYTES * sum(each.scene.info.rows * each.scene.info.cols for each in members))
    options, maps = survey.options, _maps(services, context, members, folder)
    mosaic = make_mosaic(
        maps,
        options.overlap,
        classes,
        folder,
        crs=crs_from_code(options.crs) if options.crs else None,
        resolution_m=options.resolution_m,
        watch=context.watch,
    )
    files = {name: folder / name for name in FILES}
    if _tiles(context, classes, folder):
        files["web.tif"] = folder / "web.tif"
    by_zone = zones and _by_zone(services, context, zones, folder)
    if options.zones and zones is None:
        context.log(f"note: the zone set {options.zones!r} was deleted, so no areas are measured by zone")

    def record(session: Session, stored: Mapping[str, Stored]) -> None:
        row = surveys.get(session, survey.id)
        row.products, row.mosaic = dict(stored), mosaic.model_copy(update={"scenes": ()})
        row.size_bytes = sum(item.size_bytes for item in stored.values())
        session.execute(
            update(SurveyScene),
            [
                {"survey": row.id, "number": number, "pixels": share.pixels, "area_ha": share.area_ha}
                for number, share in enumerate(mosaic.scenes, 1)
            ],
        )
        if zones and by_zone and _unchanged(session, zones):
            session.add(SurveyZoneAreas(survey=row.id, zones=zones.id, classes=by_zone))

    return Outcome(record, files)


def _tiles(context: JobContext, classes: tuple[ClassDef, ...], folder: Path) -> bool:
    """Write the map tiles of the mosaic; False if it lies beyond the 85th parallels, where they end."""

    def tick() -> None:
        context.watch(Progress("tiles", 0, 1))

    return write_web_cog(folder / surveys.MAP, folder / "web.tif", colours_to_show(classes), tick)


def _refuse_failed(members: list[surveys.Member]) -> None:
    """Raise `InputRefused` with the scenes that could not be mapped: a mosaic without them would look whole."""
    hint = "Read its log, correct the cause, and retry the survey: what succeeded is kept."
    faults = [
        Fault("scene_not_mapped", f"Prediction {each.prediction.id} of scene {each.scene.id!r} is {each.status}.", hint)
        for each in members
        if each.status != "successful"
    ]
    if faults:
        raise InputRefused(*faults)


def _maps(services: Services, context: JobContext, members: list[surveys.Member], folder: Path) -> list[SurveyMap]:
    """The maps of all scenes, as files on this machine."""
    take = scratch.fetcher(services.store, folder)
    maps = []
    for done, each in enumerate(members):
        context.watch(Progress("fetch", done, len(members), each.scene.id))
        areas, products = each.prediction.areas, each.prediction.products
        if areas is None or products is None:
            raise InputRefused(Fault("scene_not_mapped", f"Prediction {each.prediction.id} has no map.", ""))
        whole_ha = areas.observed_ha + areas.unobserved_ha
        share = areas.observed_ha / whole_ha if whole_ha else 0.0
        maps.append(SurveyMap(each.scene.id, take(products["classes.tif"].object), each.scene.acquired, share))
    return maps


def _by_zone(services: Services, context: JobContext, zones: ZoneSet, folder: Path) -> ClassesByZone:
    def tick() -> None:
        context.watch(Progress("zones", 0, 1))

    with memory_within(services.settings.inspection_memory_bytes):
        layer = Zones(scratch.fetcher(services.store, folder)(zones.object), zones.options)
    return classes_by_zone(folder / surveys.MAP, layer, tick)


def _unchanged(session: Session, zones: ZoneSet) -> bool:
    current = session.get(ZoneSet, zones.id, with_for_update=True)
    return current is not None and current.object == zones.object
