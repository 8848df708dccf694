"""`canemap webhooks ...`: addresses to which signed messages about events are sent."""

import time
from itertools import islice
from typing import Annotated

import typer

from app.cli import output
from app.cli.output import AsJson
from app.cli.texts import text
from app.client import Client, Json

TRY_S = 20.0  # longer than one attempt takes by default
webhooks = typer.Typer(help="Let signed messages be sent when jobs end.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(help="Id of the webhook.")]
Events = Annotated[
    list[str] | None, typer.Option("--event", metavar="EVENT", help="What to tell; repeat for more. By default all.")
]


@webhooks.command()
def create(
    url: Annotated[str, typer.Argument(help="Where messages are sent: https://...")],
    event: Events = None,
    title: Annotated[str | None, typer.Option(help="Its name for people, in any script.")] = None,
    as_json: AsJson = False,
) -> None:
    """Register an address, and print the secret with which its messages are signed. It is shown only now."""
    with Client() as client:
        made = client.create_webhook(url, events=event or None, title=title)
    _show_secret(made, as_json)
    output.say(text("new_webhook", id=made["id"]))


@webhooks.command("list")
def list_(as_json: AsJson = False) -> None:
    """List all webhooks, newest first, without their secrets."""
    with Client() as client:
        found = list(client.webhooks())
    if as_json:
        output.show(found, as_json)
        return
    columns = ("id", "url", "events", "enabled", "failing_since", "title")
    rows = ([*(row[name] for name in ("id", "url")), ", ".join(row["events"] or ["*"]), *_rest(row)] for row in found)
    output.table(columns, rows)


def _rest(row: Json) -> list[object]:
    return [row[name] for name in ("enabled", "failing_since", "title")]


@webhooks.command()
def change(
    id: Id,
    url: Annotated[str | None, typer.Option(help="Another address.")] = None,
    event: Events = None,
    title: Annotated[str | None, typer.Option(help="Another name for people.")] = None,
    as_json: AsJson = False,
) -> None:
    """Change the address, the events or the title of a webhook."""
    given = {"url": url, "events": event or None, "title": title}
    with Client() as client:
        changed = client.change_webhook(id, **{name: value for name, value in given.items() if value is not None})
    _show(changed, as_json)


@webhooks.command()
def disable(id: Id, as_json: AsJson = False) -> None:
    """Send nothing to a webhook. Of what happens meanwhile it is never told."""
    with Client() as client:
        _show(client.change_webhook(id, enabled=False), as_json)


@webhooks.command()
def enable(id: Id, as_json: AsJson = False) -> None:
    """Send to a webhook again, first what has waited."""
    with Client() as client:
        _show(client.change_webhook(id, enabled=True), as_json)


@webhooks.command()
def rotate(
    id: Id,
    overlap: Annotated[str, typer.Option(help="For how long the old secret signs as well: 1d, 12h, 30m.")] = "1d",
    as_json: AsJson = False,
) -> None:
    """Make a new secret, and print it. It is shown only now."""
    with Client() as client:
        _show_secret(client.rotate_webhook(id, overlap=overlap), as_json)


@webhooks.command()
def test(id: Id, as_json: AsJson = False) -> None:
    """Send a message that tells nothing, and say what became of it. Exit code 4 if it was not accepted."""
    with Client() as client:
        made, end = client.test_webhook(id), time.monotonic() + TRY_S
        while not made["attempts"] and time.monotonic() < end:
            time.sleep(0.2)
            made = client.delivery(id, made["id"])
    _show_delivery(made, as_json)
    if made["status"] != "delivered":
        raise typer.Exit(4)


@webhooks.command()
def deliveries(id: Id, limit: Annotated[int, typer.Option(min=1, max=1000)] = 20, as_json: AsJson = False) -> None:
    """List the newest deliveries of a webhook, each with what became of its last attempt."""
    with Client() as client:
        found = list(islice(client.deliveries(id), limit))
    if as_json:
        output.show(found, as_json)
        return
    columns = ("delivery", "created", "event", "status", "attempt", "next_attempt", "message")
    rows = (
        [row["id"], row["created"], row["type"], row["status"], len(row["attempts"]), row["next_attempt"], _last(row)]
        for row in found
    )
    output.table(columns, rows)


@webhooks.command()
def redeliver(
    id: Id, delivery: Annotated[str, typer.Argument(help="Id of the delivery.")], as_json: AsJson = False
) -> None:
    """Send a message once more, with the same webhook-id."""
    with Client() as client:
        _show_delivery(client.redeliver(id, delivery), as_json)


@webhooks.command()
def delete(id: Id, as_json: AsJson = False) -> None:
    """Delete a webhook and its deliveries, also those that wait."""
    with Client() as client:
        client.delete_webhook(id)
    output.show({"deleted": id}, as_json, [text("deleted_webhook", id=id)])


def _show_secret(made: Json, as_json: bool) -> None:
    output.say(text("new_secret", id=made["id"], url=made["url"]))
    output.show(made, as_json, [made["secret"]])


def _show(document: Json, as_json: bool) -> None:
    name = "enabled" if document["enabled"] else "disabled"
    output.show(document, as_json, [text(name, id=document["id"], why=document["why"])])


def _show_delivery(document: Json, as_json: bool) -> None:
    line = text("delivery", id=document["id"], status=document["status"], what=_last(document))
    output.show(document, as_json, [line.strip()])


def _last(delivery: Json) -> str:
    """What became of the last attempt, in words; "" if there was none, or it was accepted."""
    attempts = delivery["attempts"]
    return str(attempts[-1]["detail"]) if attempts else ""


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    app.add_typer(webhooks, name="webhooks")
