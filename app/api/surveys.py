"""Routes of /v1/surveys: many scenes as one map, its hectares, and how they have changed."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from app.api.documents import whole as documents
from app.api.documents.stac import GEOJSON
from app.api.documents.surveys import TYPES
from app.api.http.answers import BINARY, ETAG, NEXT, TEXT, StoredFile, answer, content, created, file
from app.api.http.csv_tables import Spoken
from app.api.http.deleting import DELETED, Deleting, deleted
from app.api.http.deps import Condition, Id, OnceOnly, PreferredWait, Reading, Wired, Writing, etag, link_next
from app.api.http.json_bodies import JsonRoute
from app.api.http.places import Placed
from app.api.http.problems import IN_BODIES, problems
from app.api.http.queries import AreaFormat, OneLabeller, Page, ZonesId
from app.api.http.shared_work import once_for_all
from app.api.http.titling import TITLED, retitle
from app.api.http.waiting import document_after_wait
from app.api.maps import area_tables
from app.api.maps.zone_work import measured, sample_measured
from app.core.errors import NotFound
from app.core.names import ID
from app.jobs import lifecycle
from app.language.choice import Language
from app.mapping import survey_areas, survey_estimates, surveys
from app.mapping.survey_estimates import Named
from app.requests.mapping import SurveyRequest
from app.requests.texts import TitlePatch
from app.services import Services
from app.tables import Survey
from app.upkeep.references import Thing

router = APIRouter(prefix="/v1/surveys", tags=["surveys"], route_class=JsonRoute)
IndexFormat = Annotated[Literal["json", "csv", "geojson"], Query(description="csv has a byte order mark, for Excel.")]
Earlier = Annotated[str, Query(alias="with", pattern=f"^{ID.pattern}$", description="Id of the earlier survey.")]
SampleId = Annotated[
    str | None, Query(pattern=f"^{ID.pattern}$", description="Id of a sample; by default the newest with answers.")
]
File = Annotated[str, Path(json_schema_extra={"enum": list(TYPES)})]
INDEX = content({"text/csv": TEXT, GEOJSON: {"schema": {"$ref": "#/components/schemas/SurveyFeatures"}}})
AREAS = content(
    {
        "text/csv": TEXT,
        area_tables.XLSX: BINARY,
        GEOJSON: {"schema": {"$ref": "#/components/schemas/AreaFeatures"}},
    }
)
CHANGES = content(
    {
        "text/csv": TEXT,
        area_tables.XLSX: BINARY,
        GEOJSON: {"schema": {"$ref": "#/components/schemas/ChangeFeatures"}},
    }
)


@router.post("", status_code=201, responses=created() | problems(*IN_BODIES, 409))
async def post_survey(
    services: Wired, response: Response, body: SurveyRequest, once: OnceOnly, wait_s: PreferredWait
) -> documents.Survey:
    """Map many scenes with one model version, and put the maps together as one mosaic.

    Scenes that this version has mapped with the same settings before are not mapped again.
    """
    row = await run_in_threadpool(surveys.create, services, body, once)
    response.headers["Location"] = f"/v1/surveys/{row.id}"
    return await document_after_wait(services, row.id, wait_s, _document)


@router.get("", responses=answer(200, NEXT))
def list_surveys(session: Reading, request: Request, response: Response, page: Page) -> documents.Surveys:
    """List surveys, newest first."""
    found = surveys.find(session, limit=page.limit, token=page.token)
    link_next(request, response, found.next)
    return documents.Surveys(items=_documents(session, found.rows), next=found.next)


@router.get("/{id}", responses=answer(200, ETAG) | problems(404))
def get_survey(session: Reading, id_: Id, response: Response) -> documents.Survey:
    """Read one survey."""
    found = _document(session, id_)
    etag(response, lifecycle.get(session, id_).tag)
    return found


@router.patch("/{id}", responses=TITLED)
def patch_survey(
    session: Writing, id_: Id, change: TitlePatch, if_match: Condition, response: Response
) -> documents.Survey:
    """Change the title of a survey."""
    retitle(session, Thing("survey", id_), change, if_match)
    return get_survey(session, id_, response)


@router.delete("/{id}", status_code=204, response_model=None, responses=DELETED)
def delete_survey(services: Wired, id_: Id, if_match: Condition, how: Deleting) -> Response:
    """Delete a survey whose job has ended, with its mosaic. The predictions of its scenes stay."""
    return deleted(services, Thing("survey", id_), if_match, how)


@router.get("/{id}/scenes", response_model=documents.SurveyScenes, responses=INDEX | problems(404))
def get_survey_scenes(
    session: Reading, id_: Id, language: Spoken, f: IndexFormat = "json"
) -> documents.SurveyScenes | Response:
    """The scenes of a survey: the state of each map, and how much of the mosaic comes from it."""
    surveys.get(session, id_)
    found = surveys.members(session, id_)
    if f == "geojson":
        return Response(documents.SurveyFeatures.of(found).model_dump_json(), media_type=GEOJSON)
    items = tuple(map(documents.SurveyScene.of, found))
    if f == "csv":
        return area_tables.answer([item.model_dump(mode="json") for item in items], f, id_, language)
    return documents.SurveyScenes(items=items)


@router.get("/{id}/areas", response_model=documents.AreaTable, responses=AREAS | problems(404, 503))
async def get_survey_areas(
    request: Request,
    services: Wired,
    places: Placed,
    id_: Id,
    language: Spoken,
    f: AreaFormat = "json",
    zones: ZonesId = None,
) -> documents.AreaTable | Response:
    """Hectares of the mosaic by class, in the whole survey or by zone, as those of a prediction.

    A large mosaic is measured in a while: until then the answer is 503 with Retry-After.
    """
    if zones is not None:
        await measured(request, services, places, id_, zones, survey_areas.task)
    return await places.run("areas", _areas, services, id_, zones, f, language)


@router.get("/{id}/compare", response_model=documents.ChangeTable, responses=CHANGES | problems(404, 503))
async def get_survey_change(
    request: Request,
    services: Wired,
    places: Placed,
    id_: Id,
    earlier: Earlier,
    language: Spoken,
    f: AreaFormat = "json",
    zones: ZonesId = None,
    sample: SampleId = None,
    earlier_sample: SampleId = None,
    labeller: OneLabeller = None,
    earlier_labeller: OneLabeller = None,
) -> documents.ChangeTable | Response:
    """What each class has gained and lost since an earlier survey, in hectares that both have observed.

    Intervals come from samples of the two surveys that people have labelled: by default the newest of each with
    answers. Of one sample that was labelled for both seasons, name it as `sample`, and who labelled which season.

    It is measured when it is asked for first: until then the answer is 503 with Retry-After.
    """
    named = Named(sample, earlier_sample, labeller, earlier_labeller)
    task = await run_in_threadpool(survey_areas.change_task, services, id_, earlier, zones)
    if task is not None:
        key = id_, earlier, task.zones.object if task.zones else ""
        await once_for_all(request, places, key, survey_areas.measure_change, services, task)
    if zones is not None:
        for each in await run_in_threadpool(_samples, services, id_, earlier, named):
            await sample_measured(request, services, places, each, zones)
    return await places.run("areas", _changes, services, id_, earlier, named, zones, f, language)


@router.get(
    "/{id}/{file}",
    response_class=StoredFile,
    responses=file(*dict.fromkeys(TYPES.values())) | problems(404, 416),
)
def get_survey_file(services: Wired, id_: Id, name: Annotated[File, Path(alias="file")]) -> StoredFile:
    """Download the mosaic, its style, or the raster that tells which scene each pixel comes from.

    Range requests are supported.
    """
    if name not in TYPES:  # GDAL and QGIS ask for mosaic.tif.aux.xml and others
        raise NotFound("product", f"{id_}/{name}" if name.isprintable() else id_)
    stored = surveys.stored(services, id_, name)
    return StoredFile(services.store.file(stored.object), TYPES[name], f"{id_}-{name}", stored.sha256)


def _areas(
    services: Services, id_: str, zones: str | None, f: AreaFormat, language: Language
) -> documents.AreaTable | Response:
    with services.database.read() as session:
        row = surveys.get(session, id_)
        found = survey_areas.areas(session, row, zones) if zones else surveys.areas(session, row)
    items = tuple(map(documents.AreaRow.of, found))
    if f == "json":
        return documents.AreaTable(items=items)
    if f == "geojson":
        return area_tables.geojson_answer(services, items, zones, partial(surveys.footprint, id_=id_))
    origin = {"survey": id_, "model": f"{row.model}:{row.version}"}
    table = area_tables.lines(items, area_tables.OF_SURVEYS, origin, by_zone=zones is not None)
    return area_tables.answer(table, f, f"{id_}-areas", language)


def _samples(services: Services, id_: str, earlier: str, named: Named) -> set[str]:
    """The ids of the samples that tell the change between two surveys."""
    with services.database.read() as session:
        pair = survey_estimates.pair_of(session, surveys.get(session, id_), surveys.get(session, earlier), named)
        return {pair.earlier.id, pair.later.id} if pair else set()


def _changes(
    services: Services, id_: str, earlier: str, named: Named, zones: str | None, f: AreaFormat, language: Language
) -> documents.ChangeTable | Response:
    with services.database.read() as session:
        survey = surveys.get(session, id_)
        pair = survey_estimates.pair_of(session, survey, surveys.get(session, earlier), named)
        told = survey_estimates.told_by(session, pair, zones)
        found = list(survey_areas.changes(session, survey, earlier, zones, told))
    items = tuple(map(documents.ChangeRow.of, found))
    used = {"earlier_sample": pair and pair.earlier.id, "later_sample": pair and pair.later.id}
    if f == "json":
        return documents.ChangeTable(survey=id_, earlier=earlier, items=items, **used)
    if f == "geojson":
        return area_tables.geojson_answer(services, items, zones, partial(surveys.footprint, id_=id_))
    origin = {"survey": id_, "earlier": earlier, **used}
    table = area_tables.lines(items, area_tables.OF_CHANGES, origin, by_zone=zones is not None)
    return area_tables.answer(table, f, f"{id_}-change", language)


def _document(session: Session, id_: str) -> documents.Survey:
    for found in _documents(session, [surveys.get(session, id_)]):
        return found
    raise NotFound("survey", id_)


def _documents(session: Session, rows: Sequence[Survey]) -> tuple[documents.Survey, ...]:
    ids = [row.id for row in rows]
    work, counts = lifecycle.by_id(session, ids), surveys.counts(session, ids)
    return tuple(documents.Survey.of(row, counts.get(row.id, 0), work[row.id]) for row in rows if row.id in work)
