"""Commands for what is there: delete it, with all that needs it if that is wanted, do a job again, give a title."""

import sys
from typing import Annotated, Literal

import typer

from app.cli import options, output
from app.cli.language import told
from app.cli.output import AsJson
from app.client import Client, Json

Kind = Literal[
    "scene",
    "labels",
    "zones",
    "dataset",
    "training",
    "experiment",
    "evaluation",
    "prediction",
    "survey",
    "sample",
    "model",
    "schedule",
]
MOST_LINES = 40  # of the list of what would go


def delete(
    kind: Annotated[Kind, typer.Argument(metavar="KIND", help=", ".join(Kind.__args__))],
    id_: Annotated[str, typer.Argument(metavar="ID", help="Of a dataset name:1, of a model name or name:1.")],
    cascade: Annotated[bool, typer.Option("--cascade", help="Delete everything that needs it, too.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be deleted.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete a resource, after showing what goes with it. Refused while something needs it, unless with --cascade."""
    with Client() as client:
        going: Json = {} if kind == "schedule" else client.would_delete(kind, id_, cascade=cascade)
        if dry_run or not as_json:
            output.show(going, as_json, _lines(kind, id_, going))
        if dry_run:
            return
        if not yes:
            _ask(as_json)
        client.delete(kind, id_, cascade=cascade)
    output.show({"deleted": going or {"items": [{"kind": kind, "id": id_}]}}, as_json, ["Deleted."])


def retry(
    job: Annotated[str, typer.Argument(metavar="JOB", help="Id of a job that failed or was dismissed.")],
    no_wait: options.NoWait = False,
    as_json: AsJson = False,
) -> None:
    """Do a job again that failed or was dismissed. It has the same id, and continues where it can be resumed."""
    with Client() as client:
        output.finished(client.retry(job), no_wait, as_json)


def title(
    kind: Annotated[Kind, typer.Argument(metavar="KIND", help=", ".join(Kind.__args__))],
    id_: Annotated[str, typer.Argument(metavar="ID", help="Of a dataset name:1, of a model name or name:1.")],
    text: Annotated[str, typer.Argument(metavar="TITLE", help="Name for people, in any script; '' removes it.")],
    as_json: AsJson = False,
) -> None:
    """Give a resource a title: a name for people, in any script. Its id stays."""
    with Client() as client:
        changed = client.set_title(kind, id_, text or None)
    output.show(changed, as_json, [f"{kind} {id_}: {text}" if text else f"{kind} {id_} has no title now"])


def _lines(kind: str, id_: str, going: Json) -> list[str]:
    items = going.get("items") or [{"kind": kind, "id": id_}]
    lines = [f"  {'model' if item['kind'] == 'version' else item['kind']} {item['id']}" for item in items[:MOST_LINES]]
    left = len(items) - len(lines) + going.get("more", 0)
    return ["This will be deleted:", *lines, *([f"  and {left} more"] if left else [])]


def _ask(as_json: bool) -> None:
    if as_json or not sys.stdin.isatty():
        raise typer.BadParameter("nobody can be asked here: say --yes to delete", param_hint="--yes")
    typer.confirm(told("Delete it for ever?"), abort=True)


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    for command in (delete, retry, title):
        app.command()(command)
