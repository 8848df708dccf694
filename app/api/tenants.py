"""Routes of /v1/tenants, for whoever runs the service."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from app.access import limits, tenants, usage
from app.api.documents import whole as documents
from app.api.http.access import Sender
from app.api.http.answers import ETAG, NEXT, answer, uploaded
from app.api.http.deps import Condition, Id, Reading, Wired, etag, link_next
from app.api.http.json_bodies import JsonRoute
from app.api.http.parameters import checked
from app.api.http.problems import IN_BODIES, problems
from app.api.http.queries import Page
from app.core import tenancy
from app.core.errors import NotFound
from app.learning import sharing
from app.requests.access import TenantRequest
from app.upkeep import erasure
from ml.frozen import Frozen

_NAME: dict[str, Any] = {"description": "A name that you choose.", "pattern": f"^{tenants.NAME.pattern}$"}
NewTenant = Annotated[str, Path(alias="id", json_schema_extra=_NAME), checked(tenants.check_name)]


class Erasure(Frozen):
    """How a tenant is erased."""

    cascade: bool = Field(False, description="Erase everything that it has with it.")


Erasing = Annotated[Erasure, Query()]
router = APIRouter(prefix="/v1/tenants", tags=["keys"], route_class=JsonRoute)


@router.put("/{id}", status_code=201, responses=uploaded(documents.Tenant, ETAG) | problems(*IN_BODIES, 412))
def put_tenant(
    services: Wired, request: Request, id_: NewTenant, body: TenantRequest, if_match: Condition, response: Response
) -> documents.Tenant:
    """Make a tenant, or change its title, its limits, and which models of other tenants it may use.

    Other processes notice new limits within 5 seconds.
    """
    with tenancy.acting_for(tenancy.ALL), services.database.write() as session:
        row, new = tenants.put(session, id_, body.title, if_match, body.limits)
        if body.grants is not None:
            sharing.grant(session, id_, body.grants)
    request.app.state.meter.renew()
    response.status_code = 201 if new else 200
    response.headers["Location"] = f"/v1/tenants/{id_}"
    etag(response, row.tag)
    return documents.Tenant.of(row)


@router.delete("/{id}", status_code=204, response_model=None, responses=problems(404, 409, 412))
def delete_tenant(services: Wired, id_: Id, if_match: Condition, how: Erasing, request: Request) -> None:
    """Erase a tenant. 409 while it has something, unless `cascade` says that all of it goes: rows, files and keys.

    Its keys are refused, and its jobs dismissed, at the first request with `cascade`; it is 409 `tenant-closing` until
    they have ended, some seconds later.
    """
    try:
        erasure.erase(services, id_, if_match, cascade=how.cascade)
    finally:
        request.app.state.keyring.forget()  # also if it is not erased yet, its keys are refused


@router.get("", responses=answer(200, NEXT))
def list_tenants(session: Reading, request: Request, response: Response, page: Page) -> documents.Tenants:
    """List all tenants, newest first."""
    found = tenants.find(session, limit=page.limit, token=page.token)
    link_next(request, response, found.next)
    return documents.Tenants(items=tuple(map(documents.Tenant.of, found.rows)), next=found.next)


@router.get("/{id}", responses=answer(200, ETAG) | problems(404))
def get_tenant(services: Wired, sender: Sender, id_: Id, response: Response) -> documents.TenantDetails:
    """Read one tenant, with its limits and what it has used of them; a key of a tenant may read its own."""
    if sender.tenant != id_ and not sender.runs_the_service:
        raise NotFound("tenant", id_)
    with tenancy.acting_for(tenancy.ALL), services.database.read() as session:
        used, row = usage.of(session, id_), tenants.get(session, id_)
    etag(response, row.tag)
    return documents.TenantDetails.showing(row, limits.in_force(services.settings, id_, row.limits), used)
