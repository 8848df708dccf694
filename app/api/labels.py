"""Routes of /v1/labels: upload, list, read and delete layers of labels."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field, ValidationError

from app.api import documents
from app.api.http.answers import ETAG, NEXT, answer, uploaded
from app.api.http.deleting import DELETED, Deleting, deleted
from app.api.http.deps import Condition, Id, NewId, OnceSent, Reading, Wired, Writing, etag, link_next
from app.api.http.json_bodies import JsonRoute, read_json
from app.api.http.parameters import checked, faults_of
from app.api.http.places import Placed, Places
from app.api.http.problems import IN_UPLOADS, problems
from app.api.http.queries import Page
from app.api.http.titling import TITLED, retitle
from app.api.http.uploads import forms, receiving
from app.core.errors import Invalid, Unreadable, invalid
from app.data import labels
from app.data.uploads import ID
from app.requests.texts import Title, TitlePatch
from app.services import Services
from app.storage import Upload
from app.upkeep.references import Thing
from ml.frozen import Frozen
from ml.geo.crs import crs_from_code
from ml.labels.classes import ClassTable, LabelOptions

router = APIRouter(prefix="/v1/labels", tags=["labels"], route_class=JsonRoute)
CLASSES: dict[str, Any] = {
    "contentMediaType": "application/json",
    "contentSchema": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 0, "maximum": 255}},
}


def _read_classes(text: str) -> dict[str, int]:
    """The classes in a JSON object. Raises `Invalid`, or `InputRefused` for a text that stands for two classes."""
    try:
        classes = LabelOptions.model_validate({"classes": read_json(text)}).classes or {}
    except Unreadable as error:
        hint = 'Write, for instance, {"sugarcane": 1, "*": 0}, and encode it for a URL.'
        raise invalid("invalid-classes", "`classes` is not JSON.", hint) from error
    except ValidationError as error:
        items = ({**item, "loc": ("body", *item["loc"][1:])} for item in error.errors(include_url=False))
        raise Invalid("invalid-classes", *faults_of(items)) from error
    return dict(ClassTable(classes).classes or {})


def _read_background(text: str) -> int:
    if text not in ("0", "255"):
        raise invalid("invalid-background", "`background` is another value.", "Write 0, or 255 for unlabelled.")
    return int(text)


class LabelParameters(Frozen):
    """How an uploaded layer of labels is read."""

    class_field: str | None = Field(None, max_length=200, description="Attribute that holds the class of a polygon.")
    classes: Annotated[str | None, checked(_read_classes)] = Field(
        None,
        max_length=20_000,
        description='Class by value of that attribute, as JSON: {"sugarcane": 1, "*": 0}; * is any other text, and "" '
        "a missing one.",
        json_schema_extra=CLASSES,
    )
    crs: Annotated[str | None, checked(crs_from_code)] = Field(
        None, max_length=200, description="CRS of the layer if the file has none: EPSG:32649."
    )
    background: Annotated[str | None, checked(_read_background)] = Field(
        None,
        max_length=20,
        description="Value of pixels that no polygon covers: 255 (unlabelled, the default), or 0 if all of them are of "
        "class 0.",
        json_schema_extra={"enum": ["0", "255"]},
    )
    field_id: str | None = Field(None, max_length=200, description="Attribute that polygons of one field share.")
    layer: str | None = Field(
        None, max_length=200, description="Layer to read of a GeoPackage, or Shapefile of a zip, that holds several."
    )
    title: Title | None = None

    def options(self) -> LabelOptions:
        """These parameters as `LabelOptions`."""
        values = self.model_dump(exclude_none=True, include=set(LabelOptions.model_fields))
        if self.classes is not None:
            values["classes"] = _read_classes(self.classes)
        if self.background is not None:
            values["background"] = _read_background(self.background)
        return LabelOptions.model_validate(values)


class RawLabels(LabelParameters):
    """The parameters of PUT, by which the file can also be taken from an upload in pieces."""

    upload: str | None = Field(None, pattern=ID, description="Id of an upload of /v1/uploads, instead of a body.")


async def _add(
    services: Services,
    places: Places,
    name: str,
    upload: Upload,
    options: LabelOptions,
    response: Response,
    **asked: Any,
) -> documents.LabelSet:
    row, new = await places.run("upload", partial(labels.add, **asked), services, name, upload, options)
    response.status_code = 201 if new else 200
    etag(response, row.tag)
    response.headers["Location"] = f"/v1/labels/{name}"
    return documents.LabelSet.of(row)


UPLOADED = uploaded(documents.LabelSet, ETAG) | problems(*IN_UPLOADS, 412)


@router.put("/{id}", status_code=201, openapi_extra=forms.RAW_BODY, responses=UPLOADED)
async def put_labels(
    services: Wired,
    places: Placed,
    request: Request,
    response: Response,
    name: NewId,
    query: Annotated[RawLabels, Query()],
    if_match: Condition,
) -> documents.LabelSet:
    """Upload labels as the raw body: GeoJSON, GeoPackage, a zipped Shapefile or a raster mask.

    The format is recognised from the bytes. The same bytes and options again give 200.
    """
    options = query.options()
    async with receiving.received(request, services, query.upload) as upload:
        return await _add(services, places, name, upload, options, response, if_match=if_match, title=query.title)


@router.post("", status_code=201, openapi_extra=forms.form_body(LabelParameters), responses=UPLOADED)
async def post_labels(
    services: Wired, places: Placed, request: Request, response: Response, head: OnceSent
) -> documents.LabelSet:
    """Upload labels as a multipart form with the fields `file`, `id` and the parameters of PUT, except `upload`.

    Without `id` it is made from the name of the file, which becomes the title.
    """
    async with forms.form(request, services, LabelParameters) as (name, fields, upload):
        once = forms.once(head, name, fields, upload)
        return await _add(services, places, name, upload, fields.options(), response, once=once, title=fields.title)


@router.get("", responses=answer(200, NEXT))
def list_labels(session: Reading, request: Request, response: Response, page: Page) -> documents.LabelSets:
    """List all label sets, newest first."""
    found = labels.find(session, limit=page.limit, token=page.token)
    link_next(request, response, found.next)
    return documents.LabelSets(items=tuple(map(documents.LabelSet.of, found.rows)), next=found.next)


@router.get("/{id}", responses=answer(200, ETAG) | problems(404))
def get_labels(session: Reading, id_: Id, response: Response) -> documents.LabelSet:
    """Read one label set with its report."""
    row = labels.get(session, id_)
    etag(response, row.tag)
    return documents.LabelSet.of(row)


@router.patch("/{id}", responses=TITLED)
def patch_labels(
    session: Writing, id_: Id, change: TitlePatch, if_match: Condition, response: Response
) -> documents.LabelSet:
    """Change the title of a label set."""
    retitle(session, Thing("labels", id_), change, if_match)
    return get_labels(session, id_, response)


@router.delete("/{id}", status_code=204, response_model=None, responses=DELETED)
def delete_labels(services: Wired, id_: Id, if_match: Condition, how: Deleting) -> Response:
    """Delete a label set. Refused if a dataset was made from it, unless that is deleted with it."""
    return deleted(services, Thing("labels", id_), if_match, how)
