"""`canemap tenants ...`: who shares the service, and what each may use. They work on the database itself."""

import re
import time
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli import output, sessions
from app.cli.output import AsJson
from app.cli.texts import text
from app.client import Json

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

tenants = typer.Typer(
    help="Make, list, limit and erase the tenants, which do not see each other.", no_args_is_help=True
)
Name = Annotated[str, typer.Argument(help="Name of the tenant.")]
Amount = str | None
AMOUNT = re.compile(r"(?P<number>\d{1,15}(\.\d{1,3})?) ?(?P<unit>[kMGT]?)(?P<binary>i?)(?:B|)")


@tenants.command()
def add(
    name: Annotated[str, typer.Argument(help="1 to 32 of A-Z a-z 0-9 . _ and -.")],
    title: Annotated[str | None, typer.Option(help="Its name for people, in any script.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a tenant, or change its title."""
    from app.access import tenants as portals
    from app.api.documents.access import Tenant

    with sessions.writing() as session:
        row, _ = portals.put(session, name, title)
    output.show(Tenant.of(row).model_dump(mode="json"), as_json, [f"tenant {name}"])


@tenants.command("list")
def list_tenants(as_json: AsJson = False) -> None:
    """List all tenants, newest first."""
    from app.access import tenants as portals
    from app.api.documents.access import Tenant

    with sessions.reading() as session:
        rows = portals.find(session, limit=1000, token=None).rows
    found = [Tenant.of(row).model_dump(mode="json") for row in rows]
    if as_json:
        output.show(found, as_json)
        return
    columns = ("id", "title", "created")
    output.table(columns, ([row[column] for column in columns] for row in found))


@tenants.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Show the limits of a tenant, and what it has used of them. The service itself counts what single keys do."""
    with sessions.reading() as session:
        document = _details(session, name)
    _show_details(document, as_json)


@tenants.command("set")
def set_limits(
    name: Name,
    requests_per_minute: Annotated[Amount, typer.Option(help="Requests that each key may send in a minute.")] = None,
    uploads: Annotated[Amount, typer.Option(help="Files that each key may send at once.")] = None,
    downloads: Annotated[Amount, typer.Option(help="Files that each key may fetch at once.")] = None,
    streams: Annotated[Amount, typer.Option(help="Requests of each key that wait for jobs at once.")] = None,
    queued_jobs: Annotated[Amount, typer.Option(help="Jobs of the tenant that wait or run.")] = None,
    stored_bytes: Annotated[Amount, typer.Option("--bytes", help="Bytes of all its files, like 500GB.")] = None,
    pixels_per_day: Annotated[Amount, typer.Option(help="Pixels that it may have mapped on a day, like 20G.")] = None,
    as_json: AsJson = False,
) -> None:
    """Set limits of a tenant. A number, or default for what the service has, or none for no limit."""
    from app.access import tenants as portals

    written = {
        "requests_per_minute": requests_per_minute,
        "uploads": uploads,
        "downloads": downloads,
        "streams": streams,
        "queued_jobs": queued_jobs,
        "stored_bytes": stored_bytes,
        "pixels_per_day": pixels_per_day,
    }
    changed = {limit: _amount(limit, amount) for limit, amount in written.items() if amount is not None}
    with sessions.writing() as session:
        row = portals.get(session, name)
        portals.put(session, name, row.title, limits=row.limits.model_copy(update=changed))
        document = _details(session, name)
    _show_details(document, as_json)


@tenants.command()
def grant(
    name: Annotated[str, typer.Argument(help="Name of the tenant.")],
    models: Annotated[list[str], typer.Argument(help="Models of other tenants, like province~cane.")],
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take the models away again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let a tenant read and use models of other tenants. The maps that it has made stay if they are withdrawn."""
    from app.access import tenants as portals
    from app.api.documents.access import Tenant
    from app.learning import sharing

    with sessions.writing() as session:
        row = portals.locked(session, name)
        kept = [model for model in row.grants if model not in models]
        sharing.grant(session, name, kept if withdraw else [*kept, *models])
    document = Tenant.of(row).model_dump(mode="json")
    output.show(document, as_json, [text("grants", name=name, models=", ".join(row.grants) or "-")])


@tenants.command()
def delete(
    name: Annotated[str, typer.Argument(help="Name of the tenant.")],
    cascade: Annotated[
        bool, typer.Option("--cascade", help="Erase everything that it has: rows, files, keys.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Erase a tenant. Its keys are refused and its jobs dismissed at once; then this waits until they have ended."""
    from app.core.errors import Conflict
    from app.services import Services
    from app.settings import Settings
    from app.upkeep import erasure

    if cascade and not yes:
        typer.confirm(text("erase", name=name), abort=True, err=True)
    with sessions.acting(), closing(Services.open(Settings())) as services:
        while True:
            try:
                erasure.erase(services, name, cascade=cascade)
                break
            except Conflict as conflict:
                if conflict.code != "tenant-closing":
                    raise
                output.say(conflict.detail)
                time.sleep(erasure.PAUSE_S)
    output.show({"erased": name}, as_json, [text("erased", name=name)])


def _details(session: "Session", name: str) -> Json:
    from app.access import limits, usage
    from app.access import tenants as portals
    from app.api.documents.access import TenantDetails
    from app.settings import Settings

    row, used = portals.get(session, name), usage.of(session, name)
    return TenantDetails.showing(row, limits.in_force(Settings(), name, row.limits), used).model_dump(mode="json")


def _show_details(document: Json, as_json: bool) -> None:
    if as_json:
        output.show(document, as_json)
        return
    used = {"pixels_per_day": document["used"].pop("pixels_today"), **document["used"]}
    rows = (
        (name, text("no_limit") if most == 0 else f"{most:,}", f"{used[name]:,}" if name in used else "")
        for name, most in document["limits_in_force"].items()
    )
    output.table(("limit", "most", "used"), rows)


def _amount(limit: str, written: str) -> int | None:
    """The number that is written like 100, 500GB, 2 TiB or 20G; None for the default of the service, 0 for no limit."""
    if written in ("default", "none"):
        return None if written == "default" else 0
    found = AMOUNT.fullmatch(written)
    if not found:
        option = "--bytes" if limit == "stored_bytes" else f"--{limit.replace('_', '-')}"
        raise typer.BadParameter(text("bad_amount", written=written), param_hint=option)
    base = 1024 if found["binary"] else 1000
    return int(float(found["number"]) * base ** " kMGT".index(found["unit"] or " "))


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    app.add_typer(tenants, name="tenants")
