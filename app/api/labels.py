"""/v1/labels"""

import json
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from app.api import documents
from app.api.documents import Json
from app.api.http import forms, receiving
from app.api.http.deps import Id, InPieces, Limit, Token, Wired, link_next
from app.core.errors import Invalid, invalid
from app.data import labels
from app.services import Services
from app.storage import Upload
from ml.faults import Fault
from ml.labels.inspect import LabelOptions

router = APIRouter(prefix="/v1/labels", tags=["labels"])
# the options, and how long their texts may be, in a query or a form
LONGEST = {"class_field": 200, "classes": 20_000, "crs": 200, "background": 20, "field_id": 200}
ClassField = Annotated[
    str | None, Query(max_length=LONGEST["class_field"], description="Attribute that names the class of a polygon.")
]
Classes = Annotated[
    str | None,
    Query(
        max_length=LONGEST["classes"], description='Its values as JSON: {"sugarcane": 1, "*": 0}; * is any other value.'
    ),
]
Crs = Annotated[
    str | None, Query(max_length=LONGEST["crs"], description="CRS of the layer, when the file has none: EPSG:32649.")
]
Background = Annotated[
    str | None,
    Query(max_length=LONGEST["background"], description="What no polygon covers: 0 (default) or 255, unlabelled."),
]
FieldId = Annotated[
    str | None, Query(max_length=LONGEST["field_id"], description="Attribute that tells which polygons are one field.")
]


def _options(given: dict[str, str | None]) -> LabelOptions:
    """The options from their texts; `given` by the names of LONGEST."""
    values: dict[str, object] = {key: text for key, text in given.items() if text is not None}
    values |= {"classes": _classes(given["classes"])} if "classes" in values else {}
    try:
        if (background := given["background"]) is not None:
            values["background"] = int(background) if background.isdecimal() else background
        return LabelOptions.model_validate(values)
    except ValidationError as error:
        faults = (
            Fault(
                item["type"],
                item["msg"],
                "See /docs for what is allowed here.",
                f"query:{'/'.join(map(str, item['loc']))}",
            )
            for item in error.errors(include_input=False, include_url=False)
        )
        raise Invalid("invalid-options", *faults) from error


def _classes(text: str | None) -> object:
    try:
        return json.loads(text or "null")
    except (ValueError, RecursionError) as error:
        hint = 'Write, for instance, {"sugarcane": 1, "*": 0}, and encode it for a URL.'
        raise invalid("invalid-classes", "`classes` is not JSON.", hint, "query:classes") from error


async def _add(services: Services, name: str, upload: Upload, options: LabelOptions, response: Response) -> Json:
    row, new = await run_in_threadpool(labels.add, services, name, upload, options)
    response.status_code = 201 if new else 200
    response.headers["Location"] = f"/v1/labels/{name}"
    return documents.labels(row)


@router.put("/{name}", status_code=201, openapi_extra=forms.RAW_BODY)
async def put_labels(
    services: Wired,
    request: Request,
    response: Response,
    name: str,
    class_field: ClassField = None,
    classes: Classes = None,
    crs: Crs = None,
    background: Background = None,
    field_id: FieldId = None,
    upload_id: InPieces = None,
) -> Json:
    """Upload GeoJSON, GeoPackage, a zipped Shapefile or a raster mask; its kind is found from its bytes."""
    forms.check_target(name)
    options = _options(dict(zip(LONGEST, (class_field, classes, crs, background, field_id), strict=True)))
    async with receiving.received(request, services, upload_id) as upload:
        return await _add(services, name, upload, options, response)


@router.post("", status_code=201, openapi_extra=forms.FORM_BODY)
async def post_labels(services: Wired, request: Request, response: Response) -> Json:
    """Upload labels as a multipart form: fields `id`, `file`, and what PUT takes as parameters."""
    async with forms.form(request, services) as (fields, upload):
        options = _options({key: fields.text(key, most) for key, most in LONGEST.items()})
        fields.check_all_known()
        return await _add(services, fields.name, upload, options, response)


@router.get("")
def list_labels(services: Wired, request: Request, response: Response, limit: Limit = 100, token: Token = None) -> Json:
    """All labels, newest first."""
    found = labels.find(services, limit=limit, token=token)
    link_next(request, response, found.next)
    return {"items": [documents.labels(row) for row in found.rows], "next": found.next}


@router.get("/{id}")
def get_labels(services: Wired, id_: Id) -> Json:
    """One label set with its report."""
    with services.database.read() as session:
        return documents.labels(labels.get(session, id_))


@router.delete("/{id}", status_code=204)
def delete_labels(services: Wired, id_: Id) -> None:
    """Forget labels that no dataset was made from."""
    labels.delete(services, id_)
