"""Routes of /v1/keys, and /v1/whoami."""

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import APIRouter, Request, Response
from sqlalchemy.orm import Session

from app.access import keys
from app.access.scopes import Principal
from app.api.documents import whole as documents
from app.api.http.access import Sender
from app.api.http.answers import ETAG, NEXT, answer, created
from app.api.http.deps import Condition, Id, OnceOnly, Reading, Wired, etag, link_next
from app.api.http.json_bodies import JsonRoute
from app.api.http.problems import IN_BODIES, problems
from app.api.http.queries import KeyQuery
from app.core import tenancy
from app.core.errors import NotFound
from app.learning import sharing
from app.requests.access import KeyRequest, KeyRotation, period
from app.services import Services

router = APIRouter(prefix="/v1", tags=["keys"], route_class=JsonRoute)


@contextmanager
def _reading(services: Services, sender: Principal) -> Iterator[Session]:
    """A session on the keys that `sender` looks after: those of all tenants, or of its own."""
    with tenancy.acting_for(_scope(sender)), services.database.read() as session:
        yield session


@contextmanager
def _writing(services: Services, sender: Principal) -> Iterator[Session]:
    """A transaction on those keys."""
    with tenancy.acting_for(_scope(sender)), services.database.write() as session:
        yield session


def _scope(sender: Principal) -> str:
    return tenancy.ALL if sender.runs_the_service else sender.tenant


@router.get("/whoami")
def whoami(session: Reading, sender: Sender) -> documents.Sender:
    """Who sends this request, and what it may do."""
    return documents.Sender.of(sender, sharing.grants(session))


@router.post("/keys", status_code=201, responses=created() | problems(*IN_BODIES, 404, 409))
def post_key(services: Wired, sender: Sender, body: KeyRequest, once: OnceOnly, response: Response) -> documents.NewKey:
    """Make a key. It is shown only in this answer."""
    tenant = body.tenant or sender.tenant
    if tenant != sender.tenant and not sender.runs_the_service:
        raise NotFound("tenant", tenant)
    lifetime = period(body.expires) if body.expires else None
    with _writing(services, sender) as session:
        made = keys.create(session, tenant, body.name, body.scope, lifetime, once)
    response.headers["Location"] = f"/v1/keys/{made.row.id}"
    response.headers["Cache-Control"] = "no-store"
    return documents.NewKey.of(made)


@router.get("/keys", responses=answer(200, NEXT))
def list_keys(services: Wired, sender: Sender, request: Request, response: Response, query: KeyQuery) -> documents.Keys:
    """List all keys, newest first; those of other tenants only for whoever runs the service."""
    with _reading(services, sender) as session:
        found = keys.find(session, query.tenant, limit=query.limit, token=query.token)
    link_next(request, response, found.next)
    return documents.Keys(items=tuple(map(documents.Key.of, found.rows)), next=found.next)


@router.get("/keys/{id}", responses=answer(200, ETAG) | problems(404))
def get_key(services: Wired, sender: Sender, id_: Id, response: Response) -> documents.Key:
    """Read one key, without its secret."""
    with _reading(services, sender) as session:
        row = keys.get(session, id_)
    etag(response, row.tag)
    return documents.Key.of(row)


@router.delete("/keys/{id}", status_code=204, response_model=None, responses=problems(404, 412))
def delete_key(services: Wired, sender: Sender, id_: Id, if_match: Condition, request: Request) -> None:
    """Revoke a key: from now on it is refused. It stays in the list."""
    with _writing(services, sender) as session:
        keys.revoke(session, id_, if_match)
    request.app.state.keyring.forget()


@router.post("/keys/{id}/rotate", status_code=201, responses=created() | problems(*IN_BODIES, 404, 409))
def rotate_key(
    services: Wired,
    sender: Sender,
    id_: Id,
    once: OnceOnly,
    request: Request,
    response: Response,
    body: KeyRotation | None = None,
) -> documents.NewKey:
    """Make a new key like this one, which stays valid for a day more, or for as long as the body says."""
    with _writing(services, sender) as session:
        made = keys.rotate(session, id_, period((body or KeyRotation()).overlap), once)
    request.app.state.keyring.forget()
    response.headers["Location"] = f"/v1/keys/{made.row.id}"
    response.headers["Cache-Control"] = "no-store"
    return documents.NewKey.of(made)
