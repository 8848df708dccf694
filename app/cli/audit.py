"""`canemap audit`: who has changed what."""

from typing import Annotated

import typer

from app.cli import output, sessions
from app.cli.output import AsJson


def audit(
    tenant: Annotated[str | None, typer.Option(help="Only what was done in this tenant's name.")] = None,
    who: Annotated[str | None, typer.Option(help='Only what one did, like "key 4f7hq2x9".')] = None,
    since: Annotated[str | None, typer.Option(help="Only the last days, hours or minutes: 90d, 12h, 30m.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="List at most this number.")] = 100,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, for instance to keep it elsewhere.")] = False,
    as_json: AsJson = False,
) -> None:
    """List who has changed what, newest first."""
    from app.access import audit as log
    from app.api.documents.access import AuditEntry
    from app.core.columns import now

    start = now() - sessions.period(since, "--since") if since else None
    with sessions.reading() as session:
        rows = log.find(session, log.Wanted(tenant, who, start), limit=limit, token=None).rows
    if as_csv:
        print(log.as_csv(rows), end="")
        return
    found = [AuditEntry.of(row).model_dump(mode="json") for row in rows]
    if as_json:
        output.show(found, as_json)
        return
    output.table(log.COLUMNS, ([row[column] for column in log.COLUMNS] for row in found))


def add_to(app: typer.Typer) -> None:
    """Add the command of this module to `app`."""
    app.command()(audit)
