"""Routes of /v1/samples: draw points of a map, label them, and estimate areas from the answers."""

import csv
import io
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import AfterValidator, StringConstraints
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from app.api import area_tables, documents
from app.api.documents.stac import GEOJSON, MEDIA_TYPES
from app.api.http.answers import BINARY, ETAG, NEXT, TEXT, answer, content, created
from app.api.http.copies import has_copy
from app.api.http.csv_tables import BYTE_ORDER_MARK, TYPE, Spoken, csv_answer
from app.api.http.deleting import DELETED, Deleting, deleted
from app.api.http.deps import Condition, Id, OnceOnly, PreferredWait, Reading, Wired, Writing, etag, link_next
from app.api.http.json_bodies import JsonRoute, read_json
from app.api.http.places import Placed, Places
from app.api.http.problems import IN_BODIES, problems
from app.api.http.queries import Page
from app.api.http.shared_work import SharedWork
from app.api.http.titling import TITLED, retitle
from app.api.http.waiting import document_after_wait
from app.api.predictions import measured
from app.api.scene_tiles import PICTURE, DrawingQuery
from app.api.scenes import cog_of
from app.api.tiles import IfNoneMatch
from app.core import tenancy
from app.core.names import ID
from app.core.preconditions import IfMatch
from app.data import scenes
from app.jobs import lifecycle
from app.language.choice import Language
from app.mapping import answers, changes, chips, estimates, predictions, sample_zones, samples
from app.mapping.zones import features
from app.requests import SampleRequest, TitlePatch, shown
from app.services import Services
from app.tables import Sample
from app.upkeep.references import Thing
from ml.contract import ClassDef
from ml.csv_text import plain_cells
from ml.estimation.zones import MIN_POINTS
from ml.sampling.answer_files import Answer, answers_in_csv, answers_in_geojson
from ml.sampling.design import MOST_POINTS
from ml.sampling.point_files import Rows, as_csv, as_geojson, as_kml, point_rows, write_gpkg

router = APIRouter(prefix="/v1/samples", tags=["samples"], route_class=JsonRoute)
KML, GPKG = "application/vnd.google-earth.kml+xml", MEDIA_TYPES["polygons.gpkg"]
OBJECT: dict[str, Any] = {"schema": {"type": "object"}}
PointFormat = Annotated[
    Literal["geojson", "csv", "gpkg", "kml"], Query(description="csv has a byte order mark, for Excel.")
]
AnswerFormat = Annotated[Literal["json", "csv"], Query(description="csv has a byte order mark, for Excel.")]
EstimateFormat = Annotated[
    Literal["json", "csv", "xlsx", "geojson"], Query(description="csv has a byte order mark, for Excel.")
]
ZonesOfEstimates = Annotated[
    str | None, Query(pattern=f"^{ID.pattern}$", description="Id of a zone set, for whose zones there are rows, too.")
]
LeastPoints = Annotated[
    int, Query(ge=2, le=MOST_POINTS, description="Number of points that a zone needs for an estimate of its own.")
]
MapClass = Annotated[
    bool, Query(description="Tell also what the map says: its class, the stratum, the inclusion probability.")
]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80), AfterValidator(shown)]
Labeller = Annotated[
    Name, Query(description=f"Whose answers these are. Those of {answers.AGREED!r} settle the others'.")
]
OneLabeller = Annotated[Name | None, Query(description="Whose answers count alone.")]
# CSV or GeoJSON; generators of clients know no text/csv
ANSWERS = {"requestBody": {"required": True, "content": {"application/octet-stream": BINARY}}}
POINTS = content({GEOJSON: OBJECT, "text/csv": TEXT, KML: TEXT, GPKG: BINARY})
FEATURES = {"schema": {"$ref": "#/components/schemas/EstimateFeatures"}}
ESTIMATES = content({"text/csv": TEXT, area_tables.XLSX: BINARY, GEOJSON: FEATURES})


@router.post("", status_code=201, responses=created() | problems(*IN_BODIES, 409))
async def post_sample(
    services: Wired, response: Response, body: SampleRequest, once: OnceOnly, wait_s: PreferredWait
) -> documents.Sample:
    """Draw a probability sample of the map of a prediction."""
    row = await run_in_threadpool(samples.create, services, body, once)
    response.headers["Location"] = f"/v1/samples/{row.id}"
    return await document_after_wait(services, row.id, wait_s, _document)


@router.get("", responses=answer(200, NEXT))
def list_samples(session: Reading, request: Request, response: Response, page: Page) -> documents.Samples:
    """List samples, newest first."""
    found = samples.find(session, limit=page.limit, token=page.token)
    link_next(request, response, found.next)
    work = lifecycle.by_id(session, (row.id for row in found.rows))
    items = tuple(documents.Sample.of(row, work[row.id]) for row in found.rows)
    return documents.Samples(items=items, next=found.next)


@router.get("/{id}", responses=answer(200, ETAG) | problems(404))
def get_sample(session: Reading, id_: Id, response: Response) -> documents.Sample:
    """Read one sample: its frame, its strata, and the precision to be expected. Its points are files of it."""
    found = _document(session, id_)
    etag(response, lifecycle.get(session, id_).tag)
    return found


@router.patch("/{id}", responses=TITLED)
def patch_sample(
    session: Writing, id_: Id, change: TitlePatch, if_match: Condition, response: Response
) -> documents.Sample:
    """Change the title of a sample."""
    retitle(session, Thing("sample", id_), change, if_match)
    return get_sample(session, id_, response)


@router.delete("/{id}", status_code=204, response_model=None, responses=DELETED)
def delete_sample(services: Wired, id_: Id, if_match: Condition, how: Deleting) -> Response:
    """Delete a sample whose job has ended, with all answers to it."""
    return deleted(services, Thing("sample", id_), if_match, how)


@router.get("/{id}/points", response_class=Response, responses=POINTS | problems(404))
def get_points(session: Reading, id_: Id, f: PointFormat = "geojson", map_class: MapClass = False) -> Response:
    """The points as a file to label: in the order of their ids, with empty columns for the answers.

    What the map says at a point is not told unless it is asked for: whoever sees it agrees with it too often.
    """
    sample = samples.get(session, id_)
    rows = point_rows(*samples.result(session, sample), map_class=map_class)
    return _points(sample, rows, f)


@router.get("/{id}/chips/{point}.png", response_class=Response, responses=PICTURE)
async def get_chip(
    services: Wired,
    places: Placed,
    id_: Id,
    point: int,
    query: Annotated[DrawingQuery, Query()],
    if_none_match: IfNoneMatch = "",
) -> Response:
    """A picture of a point: its pixel outlined in the scene around it, near at the left and wide at the right."""
    drawing, place = await run_in_threadpool(chips.of_point, services, id_, point, query.bands, query.stretch)
    headers = {"ETag": f'"{drawing.tag(place.row, place.col)}"', "Cache-Control": "no-cache"}
    if has_copy(if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    cog = await cog_of(services, places, drawing.scene.id)
    png = await places.run("picture", chips.draw, services, drawing, cog, place)
    return Response(png, media_type="image/png", headers=headers)


@router.put("/{id}/answers", openapi_extra=ANSWERS, responses=answer(200, ETAG) | problems(*IN_BODIES, 404, 409, 412))
async def put_answers(
    services: Wired, request: Request, response: Response, id_: Id, if_match: Condition, labeller: Labeller = "main"
) -> documents.AnswerReport:
    """Send answers as CSV or GeoJSON, with the columns id, class and unusable: the file of points, filled in.

    Points that are not in it, or have neither, keep their answers. Those that change keep their history. If anything is
    wrong, everything is told and nothing is recorded.
    """
    body = await request.body()

    def read(points: Collection[int], classes: Sequence[ClassDef]) -> list[Answer]:
        if body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"[")):
            return answers_in_geojson(read_json(body), points, classes)
        return answers_in_csv(body, points, classes)

    return await run_in_threadpool(_put, services, id_, labeller, read, if_match, response)


def _put(
    services: Services, id_: str, labeller: str, read: answers.Reader, if_match: IfMatch, response: Response
) -> documents.AnswerReport:
    changed = answers.put(services, id_, labeller, read, if_match)
    with services.database.read() as session:
        etag(response, lifecycle.get(session, id_).tag)
        return documents.AnswerReport.of(answers.tally(session, samples.get(session, id_)), changed)


@router.get(
    "/{id}/answers",
    response_model=documents.Answers,
    responses=content({"text/csv": TEXT}, ETAG) | problems(404),
)
def get_answers(
    session: Reading,
    id_: Id,
    response: Response,
    f: AnswerFormat = "json",
    labeller: OneLabeller = None,
    history: Annotated[bool, Query(description="All answers that were ever given, oldest first.")] = False,
) -> documents.Answers | Response:
    """Read the answers, how far the sample is labelled, and how well labellers agree."""
    sample = samples.get(session, id_)
    tally = answers.tally(session, sample)
    drawn, _ = samples.result(session, sample)
    newest = [row for _, rows in sorted(tally.labellers.items()) for _, row in sorted(rows.items())]
    rows = answers.history(session, id_) if history else newest
    listed = [row for row in rows if labeller in (None, row.labeller)]
    found = documents.Answers.listing(tally, listed, drawn.frame)
    if f == "csv":
        lines = (item.model_dump(mode="json") for item in found.items)
        table = _table(("id", "labeller", "class", "unusable", "at"), (line.values() for line in lines))
        return Response(BYTE_ORDER_MARK + table, media_type=TYPE)
    etag(response, lifecycle.get(session, id_).tag)
    return found


@router.get(
    "/{id}/estimates",
    response_model=documents.Estimates,
    responses=ESTIMATES | problems(404, 409, 503),
)
async def get_estimates(
    request: Request,
    services: Wired,
    places: Placed,
    id_: Id,
    language: Spoken,
    f: EstimateFormat = "json",
    labeller: OneLabeller = None,
    zones: ZonesOfEstimates = None,
    min_n: LeastPoints = MIN_POINTS,
) -> documents.Estimates | Response:
    """Hectares of each class with a standard error and a 95 % interval, accuracies, and the error matrix.

    With `zones` there are also rows for each zone. What a large map has in zones is measured in a while: until then the
    answer is 503 with Retry-After.
    """
    if zones is not None:
        await _find_zones(request, services, places, id_, zones)
    return await places.run("areas", _estimates, services, id_, language, f, labeller, zones, min_n)


async def _find_zones(request: Request, services: Services, places: Places, id_: str, zones: str) -> None:
    """Wait until it is known what the map and the sample have in each zone. Raises `Busy`."""
    task = await run_in_threadpool(sample_zones.task, services, id_, zones)
    await measured(request, services, places, await run_in_threadpool(_map_of, services, id_), zones)
    if task is not None:
        shared: SharedWork = request.app.state.shared_work
        key = tenancy.current(), id_, task.zones.object
        await shared.finished(key, lambda: places.run("measurement", sample_zones.find, services, task))


def _map_of(services: Services, id_: str) -> str:
    with services.database.read() as session:
        return samples.get(session, id_).prediction


def _estimates(
    services: Services, id_: str, language: Language, f: str, labeller: str | None, zones: str | None, min_n: int
) -> documents.Estimates | Response:
    with services.database.read() as session:
        sample = samples.get(session, id_)
        made = estimates.of_sample(session, sample, labeller, zones, min_n)
        footprint = _footprint(session, sample)
    found = documents.Estimates.of(id_, labeller, made, zones)
    if f == "csv":
        return csv_answer(area_tables.as_csv(_lines(found)), language)
    if f == "xlsx":
        headers = {"Content-Disposition": f'attachment; filename="{id_}-estimates.xlsx"', "Vary": "Accept-Language"}
        book = area_tables.as_xlsx(_lines(found), language, "estimates")
        return Response(book, media_type=area_tables.XLSX, headers=headers)
    if f == "geojson" and zones:
        outlines = services.store.file(features(services, zones).object)
        of_zones = [item for item in found.items if item.zone is not None]
        return StreamingResponse(area_tables.as_geojson(of_zones, outlines), media_type=GEOJSON)
    if f == "geojson":
        placed = documents.EstimateFeatures.of(found.items, footprint)
        return Response(placed.model_dump_json(), media_type=GEOJSON)
    return found


@router.get(
    "/{id}/change",
    response_model=documents.Changes,
    responses=content({"text/csv": TEXT, area_tables.XLSX: BINARY}) | problems(404, 409),
)
def get_change(
    session: Reading,
    id_: Id,
    language: Spoken,
    earlier: Annotated[str, Query(pattern=f"^{ID.pattern}$", description="Id of the sample of the earlier season.")],
    f: Annotated[Literal["json", "csv", "xlsx"], Query(description="csv has a byte order mark, for Excel.")] = "json",
    labeller: OneLabeller = None,
    earlier_labeller: OneLabeller = None,
) -> documents.Changes | Response:
    """By how many hectares each class has changed since an earlier sample of the same ground, with a 95 % interval.

    Of one sample that was labelled for two seasons, `earlier` is its own id, and the labellers say which season is
    which.
    """
    sample = samples.get(session, id_)
    found = changes.between(session, sample, earlier, labeller, earlier_labeller)
    document = documents.Changes.of(earlier, id_, found)
    if f == "json":
        return document
    lines = [_line(item.model_dump()) | {"earlier": earlier, "later": id_} for item in document.items]
    if f == "csv":
        return csv_answer(area_tables.as_csv(lines), language)
    headers = {"Content-Disposition": f'attachment; filename="{id_}-change.xlsx"', "Vary": "Accept-Language"}
    book = area_tables.as_xlsx(lines, language, "change")
    return Response(book, media_type=area_tables.XLSX, headers=headers)


def _document(session: Session, id_: str) -> documents.Sample:
    return documents.Sample.of(samples.get(session, id_), lifecycle.get(session, id_))


def _footprint(session: Session, sample: Sample) -> dict[str, Any]:
    prediction = predictions.get(session, sample.prediction)
    return scenes.get(session, prediction.scene).info.footprint


def _points(sample: Sample, rows: Rows, f: str) -> Response:
    match f:
        case "csv":
            made: tuple[str | bytes, str] = BYTE_ORDER_MARK + as_csv(rows), TYPE
        case "kml":
            made = as_kml(rows, sample.title or sample.id), KML
        case "gpkg":
            made = _gpkg(rows), GPKG
        case _:
            made = as_geojson(rows), GEOJSON
    headers = {"Content-Disposition": f'attachment; filename="{sample.id}-points.{f}"'}
    return Response(made[0], media_type=made[1], headers=headers)


def _gpkg(rows: Rows) -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "points.gpkg"
        write_gpkg(rows, path)
        return path.read_bytes()


def _table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(plain_cells(row) for row in rows)
    return text.getvalue()


def _lines(found: documents.Estimates) -> list[area_tables.Line]:
    """A line for each row. Hectares and mu have four decimals, which is a square metre; the cv has six."""
    return [_line(item.model_dump()) | {"sample": found.sample} for item in found.items]


def _line(row: dict[str, Any]) -> area_tables.Line:
    low, high = row.pop("ci95_ha") or (None, None)
    return {name: _rounded(name, value) for name, value in (row | {"ci95_low_ha": low, "ci95_high_ha": high}).items()}


def _rounded(name: str, value: object) -> object:
    return round(value, 6 if name == "cv" else 4) if isinstance(value, float) else value
