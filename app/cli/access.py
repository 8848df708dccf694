"""`canemap keys ...` and `canemap tenants ...`: who may use the service. They work on the database itself."""

import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli import output
from app.cli.failures import Refused
from app.cli.output import AsJson
from app.cli.texts import text

if TYPE_CHECKING:
    from datetime import timedelta

    from sqlalchemy.orm import Session

    from app.access.keys import NewKey
    from app.requests import Scope

KEY_COLUMNS = ("id", "name", "tenant", "scope", "status", "expires", "last_used")
keys = typer.Typer(help="Make, list, rotate and revoke the keys of programs.", no_args_is_help=True)
tenants = typer.Typer(help="Make and list the tenants, which do not see each other.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(help="Id of the key: the part after cm_.")]


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for, in any script.")],
    tenant: Annotated[str, typer.Option(help="Whose key it is; a new tenant is made.")] = "local",
    scope: Annotated[
        str, typer.Option(help="What it allows: view, operate, train, approve or admin; each includes those before it.")
    ] = "view",
    expires: Annotated[str | None, typer.Option(help="After what time it is refused: 90d, 12h, 30m.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key, and print it. It is shown only now."""
    from app.access import keys as use
    from app.access import tenants as portals

    lifetime = _period(expires, "--expires") if expires else None
    checked = _scope(scope)
    with _writing() as session:
        portals.ensure(session, tenant)
        made = use.create(session, tenant, name, checked, lifetime)
    _show_new(made, as_json)


@keys.command("list")
def list_keys(
    tenant: Annotated[str | None, typer.Option(help="Only keys of this tenant.")] = None, as_json: AsJson = False
) -> None:
    """List all keys, newest first, without their secrets."""
    from app.access import keys as use
    from app.api.documents import Key

    with _reading() as session:
        rows = use.find(session, tenant, limit=1000, token=None).rows
    found = [Key.of(row).model_dump(mode="json") for row in rows]
    if as_json:
        output.show(found, as_json)
        return
    output.table(KEY_COLUMNS, ([row[column] for column in KEY_COLUMNS] for row in found))


@keys.command()
def revoke(id: Id, as_json: AsJson = False) -> None:
    """Refuse a key from now on. A running service notices it within 10 seconds."""
    from app.access import keys as use
    from app.api.documents import Key

    with _writing() as session:
        row = use.revoke(session, id)
    output.show(Key.of(row).model_dump(mode="json"), as_json, [text("revoked", id=id)])


@keys.command()
def rotate(
    id: Id,
    overlap: Annotated[str, typer.Option(help="For how long the old key stays valid: 1d, 12h, 30m.")] = "1d",
    as_json: AsJson = False,
) -> None:
    """Make a new key like this one, and let the old one expire."""
    from app.access import keys as use

    with _writing() as session:
        made = use.rotate(session, id, _period(overlap, "--overlap"))
    _show_new(made, as_json)


@tenants.command()
def add(
    name: Annotated[str, typer.Argument(help="1 to 32 of A-Z a-z 0-9 . _ and -.")],
    title: Annotated[str | None, typer.Option(help="Its name for people, in any script.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a tenant, or change its title."""
    from app.access import tenants as portals
    from app.api.documents import Tenant

    with _writing() as session:
        row, _ = portals.put(session, name, title)
    output.show(Tenant.of(row).model_dump(mode="json"), as_json, [f"tenant {name}"])


@tenants.command("list")
def list_tenants(as_json: AsJson = False) -> None:
    """List all tenants, newest first."""
    from app.access import tenants as portals
    from app.api.documents import Tenant

    with _reading() as session:
        rows = portals.find(session, limit=1000, token=None).rows
    found = [Tenant.of(row).model_dump(mode="json") for row in rows]
    if as_json:
        output.show(found, as_json)
        return
    columns = ("id", "title", "created")
    output.table(columns, ([row[column] for column in columns] for row in found))


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
    from app.api.documents import AuditEntry
    from app.core.columns import now

    start = now() - _period(since, "--since") if since else None
    with _reading() as session:
        rows = log.find(session, log.Wanted(tenant, who, start), limit=limit, token=None).rows
    if as_csv:
        print(log.as_csv(rows), end="")
        return
    found = [AuditEntry.of(row).model_dump(mode="json") for row in rows]
    if as_json:
        output.show(found, as_json)
        return
    output.table(log.COLUMNS, ([row[column] for column in log.COLUMNS] for row in found))


@tenants.command()
def grant(
    name: Annotated[str, typer.Argument(help="Name of the tenant.")],
    models: Annotated[list[str], typer.Argument(help="Models of other tenants, like province~cane.")],
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take the models away again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let a tenant read and use models of other tenants. The maps that it has made stay if they are withdrawn."""
    from app.access import tenants as portals
    from app.api.documents import Tenant
    from app.learning import sharing

    with _writing() as session:
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
    with _acting(), closing(Services.open(Settings())) as services:
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


def _reading() -> "AbstractContextManager[Session]":
    """A session on the database of the settings, in the scope of all tenants, that changes nothing."""
    return _session(write=False)


def _writing() -> "AbstractContextManager[Session]":
    """A transaction on the database of the settings, in the scope of all tenants."""
    return _session(write=True)


@contextmanager
def _session(*, write: bool) -> "Iterator[Session]":
    from app.core import tenancy
    from app.core.db import Database
    from app.settings import Settings

    with (
        _acting(),
        closing(Database(Settings().database)) as database,
        tenancy.acting_for(tenancy.ALL),
        database.write() if write else database.read() as session,
    ):
        yield session


@contextmanager
def _acting() -> Iterator[None]:
    """Act as whoever has this command line. What is refused is told by what to do."""
    from app.access import audit as log
    from app.cli.service import check_schema
    from app.core import acting
    from app.core.errors import Problem
    from app.settings import Settings

    check_schema(Settings())
    log.watch()
    try:
        with acting.acting(acting.Act("command line", shlex.join(["canemap", *sys.argv[1:]]), may_approve=True)):
            yield
    except Problem as problem:
        hints = (fault.hint for fault in problem.faults)
        raise Refused(problem.code, " ".join([problem.detail, *hints])) from problem


def _show_new(made: "NewKey", as_json: bool) -> None:
    from app.api.documents import NewKey

    document = NewKey.of(made).model_dump(mode="json")
    about = {name: document[name] for name in ("id", "tenant", "scope")}
    output.say(text("new_key", expires=document["expires"] or text("never"), **about))
    output.show(document, as_json, [made.text])


def _scope(written: str) -> "Scope":
    from app.access.scopes import SCOPES

    for scope in SCOPES:
        if scope == written:
            return scope
    raise typer.BadParameter(text("no_scope", written=written, scopes=", ".join(SCOPES)), param_hint="--scope")


def _period(written: str, option: str) -> "timedelta":
    from app.requests import period

    try:
        return period(written)
    except (KeyError, ValueError, IndexError, OverflowError) as error:
        raise typer.BadParameter(text("bad_period", text=written), param_hint=option) from error


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    app.add_typer(keys, name="keys")
    app.add_typer(tenants, name="tenants")
    app.command()(audit)
