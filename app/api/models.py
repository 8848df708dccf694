"""/v1/models"""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from starlette.concurrency import run_in_threadpool

from app.api import documents
from app.api.http import forms, receiving
from app.api.http.answers import ETAG, NEXT, StoredFile, answer, created, file
from app.api.http.deps import Id, IfMatch, InPieces, NewId, Reading, Wired, Writing, etag, link_next
from app.api.http.problems import IN_BODIES, IN_UPLOADS, problems
from app.api.http.queries import Page
from app.api.http.waiting import told
from app.core.errors import NotFound
from app.core.names import NAME
from app.learning import registry
from app.requests import AliasRequest

router = APIRouter(prefix="/v1/models", tags=["models"])
BUNDLE = "application/octet-stream"


async def _which(
    which: Annotated[
        str,
        Path(description="A number, or an alias: 3, @champion.", json_schema_extra={"pattern": f"^@?{NAME.pattern}$"}),
    ],
) -> str:
    if not NAME.fullmatch(which.removeprefix("@")):
        raise NotFound("version", which if which.isprintable() else "?")
    return which


async def _alias(alias: Annotated[str, Path(json_schema_extra={"pattern": f"^{NAME.pattern}$"})]) -> str:
    if not NAME.fullmatch(alias):
        raise NotFound("alias", alias if alias.isprintable() else "?")
    return alias


Which = Annotated[str, Depends(_which)]
NewAlias = Annotated[str, Path(json_schema_extra={"pattern": f"^{registry.ALIAS.pattern}$", "maxLength": 80})]
AliasName = Annotated[str, Depends(_alias)]


@router.get("", responses=answer(200, NEXT))
def list_models(session: Reading, request: Request, response: Response, page: Page) -> documents.Models:
    """Models by name, each with its aliases and its newest version."""
    found = registry.newest(session, limit=page.limit, token=page.token)
    names = [row.name for row in found.rows]
    aliases = registry.aliases_between(session, names[0], names[-1]) if names else {}
    link_next(request, response, found.next)
    items = tuple(documents.Model.of(row.name, [row], aliases[row.name]) for row in found.rows)
    return documents.Models(items=items, next=found.next)


@router.get("/{id}", responses=answer(200, NEXT) | problems(404))
def get_model(session: Reading, id_: Id, request: Request, response: Response, page: Page) -> documents.ModelPage:
    """A model with its versions, newest first."""
    found = registry.versions(session, id_, limit=page.limit, token=page.token)
    link_next(request, response, found.next)
    return documents.ModelPage.page(id_, found, registry.aliases(session, id_))


@router.get("/{id}/versions/{which}", responses=problems(404))
def get_version(session: Reading, id_: Id, which: Which) -> documents.ModelVersion:
    """A version by number or by alias: `3`, `@champion`."""
    return documents.ModelVersion.of(registry.get(session, id_, which), registry.aliases(session, id_))


@router.get("/{id}/versions/{which}/bundle", response_class=StoredFile, responses=file(BUNDLE) | problems(404, 416))
def get_bundle(services: Wired, session: Reading, id_: Id, which: Which) -> StoredFile:
    """The checkpoint as one safetensors file: tensors, config, metrics and input contract; no code."""
    row = registry.get(session, id_, which)
    path = services.store.file(row.object)
    return StoredFile(path, media_type=BUNDLE, filename=f"{row.name}-{row.version}.safetensors")


@router.post(
    "/{id}/versions",
    status_code=201,
    openapi_extra=forms.RAW_BODY,
    responses=created() | problems(*IN_UPLOADS),
)
async def post_version(
    services: Wired, request: Request, response: Response, name: NewId, upload_id: InPieces = None
) -> documents.ModelVersion:
    """Import a bundle, as the raw body, as the next version of a model."""
    async with receiving.received(request, services, upload_id) as upload:
        row = await run_in_threadpool(registry.import_bundle, services, name, upload)
    response.headers["Location"] = f"/v1/models/{row.name}/versions/{row.version}"
    return await told(services, name, 0, lambda session, _: get_version(session, row.name, str(row.version)))


@router.get("/{id}/aliases/{alias}", responses=answer(200, ETAG) | problems(404))
def get_alias(session: Reading, id_: Id, alias: AliasName, response: Response) -> documents.Alias:
    """Where an alias points, and all its moves."""
    row = registry.get_alias(session, id_, alias)
    etag(response, row.revision)
    return documents.Alias.of(row, registry.history(session, id_, row.alias))


@router.put(
    "/{id}/aliases/{alias}",
    responses=answer(200, ETAG) | answer(201, ETAG, documents.Alias) | problems(*IN_BODIES, 404, 412),
)
def put_alias(
    session: Writing, id_: Id, alias: NewAlias, body: AliasRequest, if_match: IfMatch, response: Response
) -> documents.Alias:
    """Promote a version, or roll back to one."""
    _, new = registry.move_alias(session, id_, alias, body.version, reason=body.reason, if_match=if_match)
    response.status_code = 201 if new else 200
    return get_alias(session, id_, alias, response)


@router.delete("/{id}/aliases/{alias}", status_code=204, responses=problems(404, 409, 412))
def delete_alias(session: Writing, id_: Id, alias: AliasName, if_match: IfMatch) -> None:
    """Take an alias away; the version stays."""
    registry.remove_alias(session, id_, alias, if_match=if_match)
