"""Routes of /v1/samples: draw points of a map, label them, and estimate areas from the answers."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from app.api.documents import whole as documents
from app.api.documents.stac import GEOJSON, MEDIA_TYPES
from app.api.http.answers import BINARY, ETAG, NEXT, TEXT, answer, content, created
from app.api.http.copies import IfNoneMatch, has_copy
from app.api.http.csv_tables import BYTE_ORDER_MARK, TYPE
from app.api.http.deleting import DELETED, Deleting, deleted
from app.api.http.deps import Condition, Id, OnceOnly, PreferredWait, Reading, Wired, Writing, etag, link_next
from app.api.http.json_bodies import JsonRoute, read_json
from app.api.http.places import Placed
from app.api.http.problems import IN_BODIES, problems
from app.api.http.queries import LabellerName, OneLabeller, Page
from app.api.http.titling import TITLED, retitle
from app.api.http.waiting import document_after_wait
from app.api.maps.drawing import PICTURE, DrawingQuery
from app.api.maps.scene_cogs import cog_of
from app.core.preconditions import IfMatch
from app.jobs import lifecycle
from app.mapping import answers, chips, sampled_maps, samples
from app.requests.mapping import SampleRequest
from app.requests.texts import TitlePatch
from app.services import Services
from app.tables import Sample
from app.upkeep.references import Thing
from ml.contract import ClassDef
from ml.csv_text import plain_cells
from ml.sampling.answer_files import Answer, Places, answers_in_csv, answers_in_geojson
from ml.sampling.point_files import Rows, as_csv, as_geojson, as_kml, point_rows, write_gpkg

router = APIRouter(prefix="/v1/samples", tags=["samples"], route_class=JsonRoute)
KML, GPKG = "application/vnd.google-earth.kml+xml", MEDIA_TYPES["polygons.gpkg"]
OBJECT: dict[str, Any] = {"schema": {"type": "object"}}
PointFormat = Annotated[
    Literal["geojson", "csv", "gpkg", "kml"], Query(description="csv has a byte order mark, for Excel.")
]
AnswerFormat = Annotated[Literal["json", "csv"], Query(description="csv has a byte order mark, for Excel.")]
MapClass = Annotated[
    bool, Query(description="Tell also what the map says: its class, the stratum, the inclusion probability.")
]
Labeller = Annotated[
    LabellerName, Query(description=f"Whose answers these are. Those of {answers.AGREED!r} settle the others'.")
]
# CSV or GeoJSON; generators of clients know no text/csv
ANSWERS = {"requestBody": {"required": True, "content": {"application/octet-stream": BINARY}}}
POINTS = content({GEOJSON: OBJECT, "text/csv": TEXT, KML: TEXT, GPKG: BINARY})


@router.post("", status_code=201, responses=created() | problems(*IN_BODIES, 409))
async def post_sample(
    services: Wired, response: Response, body: SampleRequest, once: OnceOnly, wait_s: PreferredWait
) -> documents.Sample:
    """Draw a probability sample of the map of a prediction, or of the mosaic of a survey."""
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
    rows = point_rows(*samples.result(session, sample), map_class=map_class, scenes=_scene_names(session, sample))
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
    drawing, place, grid = await run_in_threadpool(chips.of_point, services, id_, point, query.bands, query.stretch)
    headers = {"ETag": f'"{drawing.tag(place.row, place.col)}"', "Cache-Control": "no-cache"}
    if has_copy(if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    cog = await cog_of(services, places, drawing.scene.id)
    png = await places.run("picture", chips.draw, services, drawing, cog, place, grid)
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

    def read(points: Places, classes: Sequence[ClassDef]) -> list[Answer]:
        if body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"[")):
            return answers_in_geojson(read_json(body), points, classes, points)
        return answers_in_csv(body, points, classes, points)

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


def _document(session: Session, id_: str) -> documents.Sample:
    return documents.Sample.of(samples.get(session, id_), lifecycle.get(session, id_))


def _scene_names(session: Session, sample: Sample) -> list[str] | None:
    """The ids of the scenes of a survey, in its order; None for a sample of a prediction."""
    if sample.survey is None:
        return None
    return [each.id for each in sampled_maps.scenes_of(session, sampled_maps.get(session, sample.survey))]


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
