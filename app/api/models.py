"""/v1/models"""

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from app.api import documents
from app.api.documents import Json
from app.api.http import forms, receiving
from app.api.http.deps import Id, IfMatch, InPieces, Limit, Token, Wired, etag, link_next
from app.api.http.responses import StoredFile
from app.core.errors import NotFound
from app.core.names import NAME
from app.learning import registry
from app.requests import AliasRequest

router = APIRouter(prefix="/v1/models", tags=["models"])


def part(text: str, kind: str) -> str:
    """`text`, if it may name a version or an alias; else `NotFound`."""
    if not NAME.fullmatch(text.removeprefix("@")):
        raise NotFound(kind, text if text.isprintable() else "?")
    return text


@router.get("")
def list_models(services: Wired, request: Request, response: Response, limit: Limit = 100, token: Token = None) -> Json:
    """Models by name, each with its aliases and its newest version."""
    with services.database.read() as session:
        found = registry.newest(session, limit=limit, token=token)
        names = [row.name for row in found.rows]
        aliases = registry.aliases_between(session, names[0], names[-1]) if names else {}
    link_next(request, response, found.next)
    return {"items": [documents.model(row.name, [row], aliases[row.name]) for row in found.rows], "next": found.next}


@router.get("/{id}")
def get_model(
    services: Wired, id_: Id, request: Request, response: Response, limit: Limit = 100, token: Token = None
) -> Json:
    """A model with its versions, newest first."""
    with services.database.read() as session:
        found = registry.versions(session, id_, limit=limit, token=token)
        aliases = registry.aliases(session, id_)
    link_next(request, response, found.next)
    return {**documents.model(id_, found.rows, aliases), "next": found.next}


@router.get("/{id}/versions/{which}")
def get_version(services: Wired, id_: Id, which: str) -> Json:
    """A version by number or by alias: `3`, `@champion`."""
    with services.database.read() as session:
        row = registry.get(session, id_, part(which, "version"))
        return documents.model_version(row, registry.aliases(session, id_))


@router.get("/{id}/versions/{which}/bundle", response_class=StoredFile)
def get_bundle(services: Wired, id_: Id, which: str) -> StoredFile:
    """The checkpoint as one safetensors file: tensors, config, metrics and input contract; no code."""
    with services.database.read() as session:
        row = registry.get(session, id_, part(which, "version"))
    path = services.store.file(row.object)
    return StoredFile(path, media_type="application/octet-stream", filename=f"{row.name}-{row.version}.safetensors")


@router.post("/{id}/versions", status_code=201, openapi_extra=forms.RAW_BODY)
async def post_version(
    services: Wired, request: Request, response: Response, id_: Id, upload_id: InPieces = None
) -> Json:
    """Import a bundle, as the raw body, as the next version of a model."""
    forms.check_target(id_)
    async with receiving.received(request, services, upload_id) as upload:
        row = await run_in_threadpool(registry.import_bundle, services, id_, upload)
    response.headers["Location"] = f"/v1/models/{row.name}/versions/{row.version}"
    return await run_in_threadpool(get_version, services, row.name, str(row.version))


@router.get("/{id}/aliases/{alias}")
def get_alias(services: Wired, id_: Id, alias: str, response: Response) -> Json:
    """Where an alias points, and all its moves."""
    with services.database.read() as session:
        row = registry.get_alias(session, id_, part(alias, "alias"))
        etag(response, row.revision)
        return documents.alias(row, registry.history(session, id_, row.alias))


@router.put("/{id}/aliases/{alias}")
def put_alias(services: Wired, id_: Id, alias: str, body: AliasRequest, if_match: IfMatch, response: Response) -> Json:
    """Promote a version, or roll back to one."""
    _, new = registry.move_alias(services, id_, alias, body.version, reason=body.reason, if_match=if_match)
    response.status_code = 201 if new else 200
    return get_alias(services, id_, alias, response)


@router.delete("/{id}/aliases/{alias}", status_code=204)
def delete_alias(services: Wired, id_: Id, alias: str, if_match: IfMatch) -> None:
    """Take an alias away; the version stays."""
    registry.remove_alias(services, id_, part(alias, "alias"), if_match=if_match)
