"""`canemap schedule ...`: trainings that are repeated by the clock."""

from contextlib import suppress
from datetime import datetime
from itertools import islice
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from app.cli import options, output
from app.cli.output import AsJson
from app.cli.texts import text
from app.client import Client, Json

schedule = typer.Typer(help="Repeat trainings by the clock, and promote better versions.", no_args_is_help=True)
Bounds = Annotated[
    list[str] | None, typer.Option(metavar="METRIC=VALUE", help="Bound of a metric; repeat for more metrics.")
]


@schedule.command()
def add(
    name: str,
    dataset: Annotated[str, typer.Argument(help="name:version, or name for the newest version at each run.")],
    cron: Annotated[str, typer.Option(help="Minute hour day-of-month month day-of-week: '0 2 1 * *'.")],
    timezone: Annotated[str, typer.Option(help="Time zone of the IANA database.")] = "UTC",
    register_as: Annotated[str | None, typer.Option(help="Name of the model; by default that of the dataset.")] = None,
    config: options.Config = None,
    changes: options.Set = None,
    promote: Annotated[bool, typer.Option(help="Move the alias to a version that is better.")] = True,
    alias: Annotated[str, typer.Option(help="Alias that a better version takes.")] = "champion",
    metric: Annotated[str, typer.Option(help="Metric that must be better on the test split.")] = "iou",
    min_gain: Annotated[float, typer.Option(help="Least gain in the metric.")] = 0.0,
    approval: Annotated[
        bool, typer.Option("--approval", help="Only propose a better version: somebody promotes it by hand.")
    ] = False,
    always: Annotated[
        bool, typer.Option("--always", help="Train also when nothing is new since the last run.")
    ] = False,
    guard: Bounds = None,
    floor: Bounds = None,
    as_json: AsJson = False,
) -> None:
    """Make a schedule. --guard recall=-0.02: recall may fall by 0.02 at most; --floor iou=0.6: IoU must reach 0.6."""
    training = {"dataset": dataset, "register_as": register_as, "config": options.config(config, changes)}
    bounds = {"guards": _bounds(guard, "--guard"), "floors": _bounds(floor, "--floor")}
    gate = {"alias": alias, "metric": metric, "min_gain": min_gain, "approval": approval, **bounds} if promote else None
    with Client() as client:
        _show(
            client.create_schedule(name, cron=cron, timezone=timezone, training=training, promote=gate, always=always),
            as_json,
        )


@schedule.command("list")
def list_(as_json: AsJson = False) -> None:
    """List all schedules."""
    with Client() as client:
        found = list(client.schedules())
    if as_json:
        output.show(found, as_json)
        return
    columns = ("name", "cron", "timezone", "next_local")
    rows = ([*(row[key] for key in columns), row["training"]["dataset"], row.get("title")] for row in found)
    output.table((*columns, "dataset", "title"), rows)


@schedule.command()
def run(name: str, as_json: AsJson = False) -> None:
    """Run a schedule now."""
    with Client() as client:
        made = client.run_schedule(name)
    output.show(made, as_json, [f"run {made['id']}: {made['status']} {made['training'] or made['message']}"])


@schedule.command()
def runs(name: str, limit: Annotated[int, typer.Option(min=1, max=1000)] = 20, as_json: AsJson = False) -> None:
    """List the newest runs of a schedule, each with its verdict."""
    with Client() as client:
        found = list(islice(client.schedule_runs(name), limit))
        zone = "UTC" if as_json or not found else client.schedule(name)["timezone"]
    if as_json:
        output.show(found, as_json)
        return
    columns = ("trigger", "missed", "status")
    rows = (
        [_local(row["due"], zone), *(row[key] for key in columns), (row["model"] or {}).get("version"), row["message"]]
        for row in found
    )
    output.table((f"due ({zone})", *columns, "version", "why"), rows)


def _local(moment: str, zone: str) -> str:
    """A time of the API in a time zone, with its difference from UTC: 2026-10-01 02:00+08:00."""
    time = datetime.fromisoformat(moment)
    with suppress(ZoneInfoNotFoundError):  # this machine knows no time zones: the time stays in UTC, and says so
        time = time.astimezone(ZoneInfo(zone))
    return time.isoformat(" ", "minutes")


@schedule.command()
def pause(name: str, as_json: AsJson = False) -> None:
    """Pause a schedule. Runs that are due meanwhile are not caught up."""
    with Client() as client:
        _show(client.change_schedule(name, enabled=False), as_json)


@schedule.command()
def resume(name: str, as_json: AsJson = False) -> None:
    """Resume a paused schedule."""
    with Client() as client:
        _show(client.change_schedule(name, enabled=True), as_json)


@schedule.command()
def remove(name: str, as_json: AsJson = False) -> None:
    """Remove a schedule and its runs. The models that they trained stay."""
    with Client() as client:
        client.delete_schedule(name)
    output.show({"removed": name}, as_json, [f"schedule {name} is removed"])


def _show(document: Json, as_json: bool) -> None:
    when = f"runs next at {document['next_local']}" if document["next_local"] else "is paused"
    output.show(document, as_json, [f"schedule {document['name']} {when}"])


def _bounds(bounds: list[str] | None, option: str) -> dict[str, float]:
    try:
        return {name: float(value) for name, _, value in (given.partition("=") for given in bounds or [])}
    except ValueError as error:
        raise typer.BadParameter(text("no_bounds"), param_hint=option) from error


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    app.add_typer(schedule, name="schedule")
