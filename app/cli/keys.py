"""`canemap keys ...`: who may use the service. They work on the database itself."""

from typing import TYPE_CHECKING, Annotated

import typer

from app.cli import output, sessions
from app.cli.output import AsJson
from app.cli.texts import text

if TYPE_CHECKING:
    from app.access.keys import NewKey
    from app.requests.access import Scope

COLUMNS = ("id", "name", "tenant", "scope", "status", "expires", "last_used")
keys = typer.Typer(help="Make, list, rotate and revoke the keys of programs.", no_args_is_help=True)
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

    lifetime = sessions.period(expires, "--expires") if expires else None
    checked = _scope(scope)
    with sessions.writing() as session:
        portals.ensure(session, tenant)
        made = use.create(session, tenant, name, checked, lifetime)
    _show_new(made, as_json)


@keys.command("list")
def list_keys(
    tenant: Annotated[str | None, typer.Option(help="Only keys of this tenant.")] = None, as_json: AsJson = False
) -> None:
    """List all keys, newest first, without their secrets."""
    from app.access import keys as use
    from app.api.documents.access import Key

    with sessions.reading() as session:
        rows = use.find(session, tenant, limit=1000, token=None).rows
    found = [Key.of(row).model_dump(mode="json") for row in rows]
    if as_json:
        output.show(found, as_json)
        return
    output.table(COLUMNS, ([row[column] for column in COLUMNS] for row in found))


@keys.command()
def revoke(id: Id, as_json: AsJson = False) -> None:
    """Refuse a key from now on. A running service notices it within 10 seconds."""
    from app.access import keys as use
    from app.api.documents.access import Key

    with sessions.writing() as session:
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

    with sessions.writing() as session:
        made = use.rotate(session, id, sessions.period(overlap, "--overlap"))
    _show_new(made, as_json)


def _show_new(made: "NewKey", as_json: bool) -> None:
    from app.api.documents.access import NewKey

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


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    app.add_typer(keys, name="keys")
