"""Routes of /v1/models: the registry of models, their versions and their aliases."""

from pathlib import Path as FilePath
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from app.api.documents import whole as documents
from app.api.http import digests
from app.api.http.answers import ETAG, NEXT, StoredFile, answer, created, file
from app.api.http.deleting import DELETED, Deleting, deleted
from app.api.http.deps import (
    Condition,
    Id,
    ModelId,
    NewId,
    OnceSent,
    Reading,
    UploadId,
    Which,
    Wired,
    Writing,
    etag,
    link_next,
)
from app.api.http.json_bodies import JsonRoute
from app.api.http.places import Placed
from app.api.http.problems import IN_BODIES, IN_UPLOADS, problems
from app.api.http.queries import NamePage, NamePaging
from app.api.http.titling import TITLED, retitle
from app.api.http.uploads import forms, receiving
from app.api.http.waiting import document_after_wait
from app.core.errors import NotFound, invalid
from app.core.names import NAME
from app.learning import registry, sharing
from app.requests.learning import AliasRequest, ModelPatch
from app.requests.texts import Title, TitlePatch
from app.services import Services
from app.tables import ModelVersion
from app.upkeep import deletion, titles
from app.upkeep.references import Thing

router = APIRouter(prefix="/v1/models", tags=["models"], route_class=JsonRoute)
BUNDLE = ONNX = "application/octet-stream"


async def _number(
    which: Annotated[
        str,
        Path(
            description="Number of the version: an alias may move at any moment.",
            json_schema_extra={"pattern": f"^{registry.VERSION.pattern}$"},
        ),
    ],
) -> int:
    if not registry.VERSION.fullmatch(which):
        hint = "GET of the same path says which number it has now."
        raise invalid("number-needed", "An alias may move at any moment.", hint, "path:which")
    return int(which)


async def _alias(alias: Annotated[str, Path(json_schema_extra={"pattern": f"^{NAME.pattern}$"})]) -> str:
    if not NAME.fullmatch(alias):
        raise NotFound("alias", alias if alias.isprintable() else "?")
    return alias


Number = Annotated[int, Depends(_number)]
NewAlias = Annotated[str, Path(json_schema_extra={"pattern": f"^{registry.ALIAS.pattern}$", "maxLength": 80})]
AliasName = Annotated[str, Depends(_alias)]


@router.get("", responses=answer(200, NEXT))
def list_models(session: Reading, request: Request, response: Response, page: NamePage) -> documents.Models:
    """List models in the order of their names, each with its aliases and its newest version."""
    found = registry.newest(session, limit=page.limit, token=page.token)
    names = [row.name for row in found.rows]
    aliases = registry.aliases_between(session, names[0], names[-1]) if names else {}
    link_next(request, response, found.next)
    said = registry.described(session, names)
    items = tuple(documents.Model.of(row.name, [row], aliases[row.name], said.get(row.name)) for row in found.rows)
    return documents.Models(items=items, next=found.next)


@router.get("/{id}", responses=answer(200, NEXT | ETAG) | problems(404))
def get_model(
    services: Wired, id_: ModelId, request: Request, response: Response, page: NamePage
) -> documents.ModelPage:
    """Read a model with its aliases and its versions, newest first. That of another tenant is like `province~cane`."""
    with sharing.reading(services, id_) as (session, name):
        return _model(session, name, request, response, page).named(id_)


@router.patch("/{id}", responses=TITLED | problems(403))
def patch_model(
    session: Writing, id_: Id, change: ModelPatch, if_match: Condition, request: Request, response: Response
) -> documents.ModelPage:
    """Change the title of a model, or whether its aliases need approval. The answer has a page of its versions."""
    titles.change_model(session, id_, change, if_match)
    return _model(session, id_, request, response, NamePaging())


@router.delete("/{id}", status_code=204, response_model=None, responses=DELETED)
def delete_model(services: Wired, id_: ModelId, if_match: Condition, how: Deleting) -> Response:
    """Delete a model with all versions and aliases. Refused while something needs one, unless that goes as well.

    Of a model of another tenant the own copies of its versions are deleted.
    """
    return deleted(services, Thing("model", id_), if_match, how)


@router.get("/{id}/versions/{which}", responses=answer(200, ETAG) | problems(404))
def get_version(services: Wired, id_: ModelId, which: Which, response: Response) -> documents.ModelVersion:
    """Read a model version, named by number (`3`) or by alias (`@champion`)."""
    with sharing.reading(services, id_) as (session, name):
        return _tagged(session, name, which, response).named(id_)


@router.patch("/{id}/versions/{which}", responses=TITLED)
def patch_version(
    session: Writing, id_: Id, which: Which, change: TitlePatch, if_match: Condition, response: Response
) -> documents.ModelVersion:
    """Change the title of a model version, named by number (`3`) or by alias (`@champion`)."""
    row = registry.get(session, id_, which)
    retitle(session, Thing("version", f"{row.name}:{row.version}"), change, if_match)
    return _tagged(session, id_, str(row.version), response)


@router.delete("/{id}/versions/{which}", status_code=204, response_model=None, responses=DELETED | problems(422))
def delete_version(services: Wired, id_: ModelId, which: Number, if_match: Condition, how: Deleting) -> Response:
    """Delete a model version, named by its number. Refused while something needs it, or an alias points at it."""
    return deleted(services, Thing("version", f"{id_}:{which}"), if_match, how)


@router.get("/{id}/versions/{which}/bundle", response_class=StoredFile, responses=file(BUNDLE) | problems(404, 416))
def get_bundle(services: Wired, id_: ModelId, which: Which) -> StoredFile:
    """Download a checkpoint as one safetensors file with tensors, config, metrics and input contract, but no code."""
    with sharing.reading(services, id_) as (session, name):
        row = registry.get(session, name, which)
    with registry.checkpoint_of(row) as key:
        path = services.store.file(key)
    return StoredFile(path, BUNDLE, f"{row.name}-{row.version}.safetensors", row.sha256)


@router.get(
    "/{id}/versions/{which}/onnx", response_class=StoredFile, responses=file(ONNX) | problems(404, 413, 416, 503, 507)
)
async def get_onnx(services: Wired, places: Placed, request: Request, id_: ModelId, which: Which) -> StoredFile:
    """Download a model as ONNX: from the numbers of a scene's file to probabilities, for QGIS Deepness and others.

    422 for a model of homogenised scenes, which needs each scene as a whole.
    """
    path = await places.run("copy", _onnx, services, id_, which)
    sha256 = await digests.of_copy(request, services, places, path)
    return StoredFile(path, ONNX, f"{id_}-{which.removeprefix('@')}.onnx", sha256)


@router.post(
    "/{id}/versions",
    status_code=201,
    openapi_extra=forms.RAW_BODY,
    responses=created() | problems(*IN_UPLOADS),
)
async def post_version(
    services: Wired,
    places: Placed,
    request: Request,
    response: Response,
    name: NewId,
    head: OnceSent,
    upload_id: UploadId = None,
    title: Annotated[Title | None, Query()] = None,
) -> documents.ModelVersion:
    """Import a checkpoint bundle, sent as the raw body, as the next version of a model."""
    # an upload in pieces is gone after the first request, and its id, which is in the head, names its bytes
    row = await run_in_threadpool(registry.imported, services, head) if upload_id else None
    if row is None:
        async with receiving.received(request, services, upload_id) as upload:
            once = head if upload_id else head.with_body(upload.sha256.encode())
            row = await places.run("upload", registry.import_bundle, services, name, upload, once, title)
    response.headers["Location"] = f"/v1/models/{row.name}/versions/{row.version}"
    return await document_after_wait(services, name, 0, lambda session, _: _version(session, row))


@router.get("/{id}/aliases/{alias}", responses=answer(200, ETAG) | problems(404))
def get_alias(session: Reading, id_: Id, alias: AliasName, response: Response) -> documents.Alias:
    """Read the version that an alias points at, and all its moves."""
    row = registry.get_alias(session, id_, alias)
    etag(response, row.tag)
    return documents.Alias.of(row, registry.history(session, id_, row.alias))


@router.put(
    "/{id}/aliases/{alias}",
    responses=answer(200, ETAG) | answer(201, ETAG, documents.Alias) | problems(*IN_BODIES, 404, 412),
)
def put_alias(
    session: Writing, id_: Id, alias: NewAlias, body: AliasRequest, if_match: Condition, response: Response
) -> documents.Alias:
    """Point an alias at a version, to promote it or to roll back to it."""
    _, new = registry.move_alias(session, id_, alias, body.version, reason=body.reason, if_match=if_match)
    response.status_code = 201 if new else 200
    return get_alias(session, id_, alias, response)


@router.delete("/{id}/aliases/{alias}", status_code=204, responses=problems(404, 409, 412))
def delete_alias(services: Wired, id_: Id, alias: AliasName, if_match: Condition) -> None:
    """Remove an alias. The version that it points at stays."""
    services.database.erase(lambda session: registry.remove_alias(session, id_, alias, if_match=if_match))


def _model(session: Session, name: str, request: Request, response: Response, page: NamePaging) -> documents.ModelPage:
    etag(response, deletion.tag(session, Thing("model", name)))
    found = registry.versions(session, name, limit=page.limit, token=page.token)
    link_next(request, response, found.next)
    said = registry.described(session, [name]).get(name)
    return documents.ModelPage.page(name, found, registry.aliases(session, name), said)


def _tagged(session: Session, name: str, which: str, response: Response) -> documents.ModelVersion:
    row = registry.get(session, name, which)
    etag(response, deletion.tag(session, Thing("version", f"{row.name}:{row.version}")))
    return _version(session, row)


def _onnx(services: Services, id_: str, which: str) -> FilePath:
    with sharing.reading(services, id_) as (_, name):
        return registry.onnx(services, name, which)


def _version(session: Session, row: ModelVersion) -> documents.ModelVersion:
    return documents.ModelVersion.of(row, registry.aliases(session, row.name))
