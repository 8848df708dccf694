"""/v1/predictions"""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from app.api import stac
from app.api.documents import Json
from app.api.http.deps import Between, Id, InBox, Limit, OnceOnly, Token, Wired, link_next
from app.api.http.responses import StoredFile
from app.api.http.waiting import honour_prefer
from app.data import scenes
from app.jobs import lifecycle
from app.mapping import predictions
from app.requests import PredictionRequest
from app.tables import Prediction

router = APIRouter(prefix="/v1/predictions", tags=["predictions"])
Status = Annotated[
    Literal["accepted", "running", "successful", "failed", "dismissed"] | None, Query(description="Status of the job.")
]


@router.post("", status_code=201)
async def post_prediction(
    services: Wired, request: Request, response: Response, body: PredictionRequest, once: OnceOnly
) -> Json:
    """Map one scene with one model."""
    row = await run_in_threadpool(predictions.create, services, body, once)
    await honour_prefer(request, services, row.id)
    response.headers["Location"] = f"/v1/predictions/{row.id}"
    return await run_in_threadpool(get_prediction, services, row.id)


@router.get("")
def list_predictions(
    services: Wired,
    request: Request,
    response: Response,
    bbox: InBox,
    between: Between,
    status: Status = None,
    limit: Limit = 100,
    token: Token = None,
) -> Json:
    """Predictions as a STAC ItemCollection, newest first."""
    found = predictions.find(services, bbox=bbox, between=between, status=status, limit=limit, token=token)
    href = link_next(request, response, found.next)
    with services.database.read() as session:
        return stac.collection(_items(session, found.rows), found.next, href)


@router.get("/{id}")
def get_prediction(services: Wired, id_: Id) -> Json:
    """One prediction as a STAC Item."""
    with services.database.read() as session:
        row = predictions.get(session, id_)
        return stac.prediction_item(row, scenes.get(session, row.scene), lifecycle.get(session, id_))


@router.delete("/{id}", status_code=204)
def delete_prediction(services: Wired, id_: Id) -> None:
    """Forget a prediction that has ended, with its files."""
    predictions.delete(services, id_)


@router.get("/{id}/areas")
def get_areas(services: Wired, id_: Id, f: Literal["json", "csv", "geojson"] = "json") -> Response:
    """Hectares of class 1, or of each class of more: observed, mapped, and adjusted with a 95 % interval."""
    with services.database.read() as session:
        row = predictions.get(session, id_)
        items = [_row(areas) for areas in predictions.areas(session, row)]
        geometry = scenes.get(session, row.scene).info.footprint
    if f == "csv":
        return Response(_csv(items), media_type="text/csv; charset=utf-8")
    if f == "geojson":
        features = [{"type": "Feature", "geometry": geometry, "properties": item} for item in items]
        return JSONResponse({"type": "FeatureCollection", "features": features}, media_type="application/geo+json")
    return JSONResponse({"items": items})


@router.get("/{id}/{product}", response_class=StoredFile)
def get_product(services: Wired, id_: Id, product: Literal[*predictions.PRODUCTS]) -> StoredFile:  # type: ignore[valid-type]
    """A file of the result, with Range."""
    path = predictions.product(services, id_, product)
    return StoredFile(path, media_type=stac.MEDIA_TYPES[product], filename=f"{id_}-{product}")


def _items(session: Session, rows: Sequence[Prediction]) -> list[Json]:
    of, work = scenes.by_id(session, (row.scene for row in rows)), lifecycle.by_id(session, (row.id for row in rows))
    # one may have been deleted since the page was read
    rows = [row for row in rows if row.scene in of and row.id in work]
    return [stac.prediction_item(row, of[row.scene], work[row.id]) for row in rows]


def _row(areas: predictions.Areas) -> Json:
    figures = asdict(areas)
    return {"zone": None, "name": None, "class": figures.pop("class_name"), **figures}


def _csv(items: Sequence[Json]) -> str:
    """A line for each, with the byte order mark by which Excel knows UTF-8."""
    text = io.StringIO()
    flat = []
    for item in items:
        low, high = item["ci95_ha"] or (None, None)
        flat.append({**item, "ci95_low_ha": low, "ci95_high_ha": high})
    writer = csv.DictWriter(text, [name for name in flat[0] if name != "ci95_ha"], extrasaction="ignore")
    writer.writeheader()
    writer.writerows(flat)
    return "\ufeff" + text.getvalue()
