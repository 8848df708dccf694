"""Route of /v1/audit: who has changed what."""

from fastapi import APIRouter, Request, Response

from app.access import audit
from app.api.documents import whole as documents
from app.api.http.access import Sender
from app.api.http.answers import NEXT, TEXT, answer, content
from app.api.http.csv_tables import csv_answer
from app.api.http.deps import Wired, link_next
from app.api.http.queries import AuditQuery
from app.core import tenancy
from app.data.selection import read_interval
from app.language.choice import of_header

router = APIRouter(prefix="/v1/audit", tags=["keys"])


@router.get("", response_model=documents.AuditEntries, responses=content({"text/csv": TEXT}) | answer(200, NEXT))
def list_audit(
    services: Wired, sender: Sender, request: Request, response: Response, query: AuditQuery
) -> documents.AuditEntries | Response:
    """List who has changed what, newest first; of other tenants only for whoever runs the service."""
    scope = tenancy.ALL if sender.runs_the_service else sender.tenant
    with tenancy.acting_for(scope), services.database.read() as session:
        wanted = audit.Wanted(query.tenant, query.who, *read_interval(query.interval or ""))
        found = audit.find(session, wanted, limit=query.limit, token=query.token)
    language = query.lang or of_header(request.headers.get("Accept-Language", ""))
    table = csv_answer(audit.as_csv(found.rows), language) if query.f == "csv" else None
    link_next(request, table or response, found.next)
    return table or documents.AuditEntries(items=tuple(map(documents.AuditEntry.of, found.rows)), next=found.next)
