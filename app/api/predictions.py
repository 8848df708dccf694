"""Routes of /v1/predictions: map a scene, and download the map."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from app.api.documents import whole as documents
from app.api.documents.stac import GEOJSON, MEDIA_TYPES
from app.api.http.answers import BINARY, ETAG, NEXT, TEXT, GeoJson, StoredFile, answer, content, created, file
from app.api.http.csv_tables import Spoken
from app.api.http.deleting import DELETED, Deleting, deleted
from app.api.http.deps import Address, Condition, Id, OnceOnly, PreferredWait, Reading, Wired, Writing, etag, link_next
from app.api.http.json_bodies import JsonRoute
from app.api.http.places import Placed
from app.api.http.problems import IN_BODIES, problems
from app.api.http.queries import AreaFormat, PredictionQuery, ZonesId
from app.api.http.titling import TITLED, retitle
from app.api.http.waiting import document_after_wait
from app.api.maps import area_tables
from app.api.maps.prediction_items import items_of
from app.api.maps.zone_work import measured
from app.core.errors import NotFound
from app.data import scenes
from app.data.scenes import Selection
from app.jobs import lifecycle
from app.language.choice import Language
from app.mapping import predictions, zone_areas
from app.requests.mapping import PredictionRequest
from app.requests.texts import TitlePatch
from app.services import Services
from app.upkeep.references import Thing

router = APIRouter(prefix="/v1/predictions", tags=["predictions"], route_class=JsonRoute)
Product = Annotated[str, Path(json_schema_extra={"enum": list(predictions.PRODUCTS)})]
GEOJSON_AREAS = {"schema": {"$ref": "#/components/schemas/AreaFeatures"}}


@router.post("", status_code=201, response_class=GeoJson, responses=created() | problems(*IN_BODIES, 409))
async def post_prediction(
    services: Wired,
    response: Response,
    body: PredictionRequest,
    once: OnceOnly,
    wait_s: PreferredWait,
    address: Address,
) -> documents.Prediction:
    """Map one scene with one model version."""
    row = await run_in_threadpool(predictions.create, services, body, once)
    response.headers["Location"] = f"/v1/predictions/{row.id}"
    return await document_after_wait(services, row.id, wait_s, partial(_document, address=address))


@router.get("", response_class=GeoJson, responses=answer(200, NEXT))
def list_predictions(
    session: Reading, request: Request, response: Response, query: PredictionQuery, address: Address
) -> documents.Predictions:
    """List predictions as a STAC ItemCollection, newest first."""
    which = Selection(query.box, query.between)
    found = predictions.find(session, which, status=query.status, limit=query.limit, token=query.token)
    items = items_of(session, found.rows, address)
    return documents.Predictions.of(items, found.next, link_next(request, response, found.next))


@router.get("/{id}", response_class=GeoJson, responses=answer(200, ETAG) | problems(404))
def get_prediction(session: Reading, id_: Id, response: Response, address: Address) -> documents.Prediction:
    """Read one prediction as a STAC Item."""
    found = _document(session, id_, address)
    etag(response, lifecycle.get(session, id_).tag)
    return found


@router.patch("/{id}", response_class=GeoJson, responses=TITLED)
def patch_prediction(
    session: Writing, id_: Id, change: TitlePatch, if_match: Condition, response: Response, address: Address
) -> documents.Prediction:
    """Change the title of a prediction."""
    retitle(session, Thing("prediction", id_), change, if_match)
    return get_prediction(session, id_, response, address)


@router.delete("/{id}", status_code=204, response_model=None, responses=DELETED)
def delete_prediction(services: Wired, id_: Id, if_match: Condition, how: Deleting) -> Response:
    """Delete a prediction whose job has ended, together with its files."""
    return deleted(services, Thing("prediction", id_), if_match, how)


@router.get(
    "/{id}/areas",
    response_model=documents.AreaTable,
    responses=content({"text/csv": TEXT, area_tables.XLSX: BINARY, GEOJSON: GEOJSON_AREAS}) | problems(404, 503),
)
async def get_areas(
    request: Request,
    services: Wired,
    places: Placed,
    id_: Id,
    language: Spoken,
    f: AreaFormat = "json",
    zones: ZonesId = None,
) -> documents.AreaTable | Response:
    """Hectares of a prediction by class, in the whole scene or by zone: observed, mapped and estimated.

    Of two classes only the second has a row; of more classes each has one. A large map is measured in a while: until
    then the answer is 503 with Retry-After.
    """
    if zones is not None:
        await measured(request, services, places, id_, zones, zone_areas.task)
    return await places.run("areas", _areas, services, id_, zones, f, language)


def _areas(
    services: Services, id_: str, zones: str | None, f: AreaFormat, language: Language
) -> documents.AreaTable | Response:
    with services.database.read() as session:
        prediction = predictions.get(session, id_)
        found = zone_areas.areas(session, prediction, zones) if zones else predictions.areas(session, prediction)
        scene = scenes.get(session, prediction.scene)
    items = tuple(map(documents.AreaRow.of, found))
    if f == "json":
        return documents.AreaTable(items=items)
    if f == "geojson":
        return area_tables.geojson_answer(services, items, zones, lambda _: scene.info.footprint)
    origin = area_tables.origin_of(prediction, scene)
    table = area_tables.lines(items, area_tables.COLUMNS, origin, by_zone=zones is not None)
    return area_tables.answer(table, f, f"{id_}-areas", language)


@router.get(
    "/{id}/{product}",
    response_class=StoredFile,
    responses=file(*dict.fromkeys(MEDIA_TYPES.values())) | problems(404, 416),
)
def get_product(services: Wired, id_: Id, product: Product) -> StoredFile:
    """Download one file of the result. Range requests are supported."""
    if product not in predictions.PRODUCTS:  # GDAL and QGIS ask for classes.tif.aux.xml, .ovr, .msk and others
        raise NotFound("product", f"{id_}/{product}" if product.isprintable() else id_)
    stored = predictions.stored(services, id_, product)
    return StoredFile(services.store.file(stored.object), MEDIA_TYPES[product], f"{id_}-{product}", stored.sha256)


def _document(session: Session, id_: str, address: str) -> documents.Prediction:
    for item in items_of(session, [predictions.get(session, id_)], address):
        return item
    raise NotFound("prediction", id_)
