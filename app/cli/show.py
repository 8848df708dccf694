"""Commands that show areas and jobs, promote versions and dismiss jobs."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from app.cli import output
from app.cli.language import current
from app.cli.output import AsJson
from app.cli.texts import duration, text
from app.cli.work import show_areas
from app.client import FINAL, Client, Json

COLUMNS = {"jobID": "jobID", "processID": "processID", "status": "status", "%": "progress", "created": "created"}
MORE = {"stage": "stage", "eta_s": "eta_s", "attempt": "attempt"}  # of a single job
LAST = {"message": "message"}
FOLLOW_S = 1.0
FORMATS = (".csv", ".xlsx", ".json", ".geojson")  # of a file of areas


def areas(
    predictions: Annotated[list[str], typer.Argument(metavar="PREDICTION...", help="Ids of predictions.")],
    zones: Annotated[str | None, typer.Option(help="Zone set by whose zones hectares are told.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print one table for spreadsheets.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Save them as a file: .csv, .xlsx, .json or .geojson.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the hectares of predictions, in the whole scene or by zone, or save those of one."""
    if out and out.suffix.lower() not in FORMATS:
        raise typer.BadParameter(text("no_format", file=out, known=", ".join(FORMATS)), param_hint="--out")
    if out and len(predictions) > 1:
        raise typer.BadParameter(text("one_prediction"), param_hint="--out")
    with Client() as client:
        found = [client.prediction(each) for each in predictions]
        if out:
            saved = found[0].save_areas(out, zones=zones, language=current())
            output.show({"path": str(saved)}, as_json, [str(saved)])
        elif as_csv:
            output.print_csv([each.areas_csv(zones) for each in found])
        elif as_json:
            output.show([row for each in found for row in each.areas(zones)], as_json)
        else:
            for each in found:
                show_areas(each, zones)


def promote(
    name: str,
    version: int,
    alias: Annotated[str, typer.Option(help="Alias to move.")] = "champion",
    reason: Annotated[str, typer.Option(help="Reason, which the history of the alias keeps.")] = "",
    as_json: AsJson = False,
) -> None:
    """Point an alias at a version of a model, to promote it or to roll back to it."""
    with Client() as client:
        moved = client.promote(name, version, alias=alias, reason=reason)
    output.show(moved, as_json, [f"{name}@{alias} is version {moved['version']}"])


def approval(
    name: Annotated[str, typer.Argument(help="Name of the model.")],
    needed: Annotated[bool, typer.Option("--on/--off", help="Whether its aliases need approval.")] = True,
    as_json: AsJson = False,
) -> None:
    """Let only keys with the scope approve move the aliases of a model, so that schedules propose and people decide."""
    with Client() as client:
        changed = client.ask_for_approval(name, needed)
    output.show(changed, as_json, [text("approval_on" if needed else "approval_off", name=name)])


def jobs(
    job: Annotated[str | None, typer.Argument(help="Id of a job; by default the newest jobs are listed.")] = None,
    dismiss: Annotated[bool, typer.Option("--dismiss", help="Dismiss the job.")] = False,
    log: Annotated[bool, typer.Option("--log", help="Print the log of the job.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Show the progress until the job, or all jobs, end.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    as_json: AsJson = False,
) -> None:
    """List the newest jobs, or show one job, follow it, dismiss it, or print its log."""
    if job is None and (dismiss or log):
        raise typer.BadParameter(text("name_the_job"), param_hint="JOB")
    if dismiss + log + follow > 1:
        raise typer.BadParameter(text("one_of"), param_hint="--dismiss, --log, --follow")
    with Client() as client:
        if job is None:
            _list(client, limit, follow, as_json)
        elif log:
            written = client.log(job)
            output.show(written, as_json, written.splitlines())
        else:
            _show([_asked(client, job, dismiss, follow, as_json)], as_json, one=True)


def _asked(client: Client, job: str, dismiss: bool, follow: bool, as_json: bool) -> Json:
    if dismiss:
        return client.dismiss(job)
    return output.follow(client, job, as_json) if follow else client.job(job)


def _list(client: Client, limit: int, follow: bool, as_json: bool) -> None:
    if not follow:
        _show(client.get("/v1/jobs", limit=limit)["items"], as_json)
        return
    known: dict[str, Json] = {}
    while True:
        found = {item["jobID"]: item for item in client.get("/v1/jobs", limit=limit)["items"]}
        for id_ in reversed([id_ for id_, item in found.items() if _moved(known.get(id_), item)]):
            print(json.dumps(found[id_], ensure_ascii=False) if as_json else _line(found[id_]), flush=True)
        known = found
        if all(item["status"] in FINAL for item in found.values()):
            return
        time.sleep(FOLLOW_S)


def _moved(before: Json | None, now: Json) -> bool:
    return before is None or any(before[key] != now[key] for key in ("status", "stage", "progress", "attempt"))


def _line(job: Json) -> str:
    eta = text("eta", time=duration(job["eta_s"])) if job["eta_s"] else ""
    parts = (job["jobID"], job["processID"], job["status"], job["stage"], f"{job['progress']} %", eta, job["message"])
    return " ".join(filter(None, parts))


def _show(found: list[Json], as_json: bool, one: bool = False) -> None:
    if as_json:
        output.show(found[0] if one else found, as_json)
        return
    columns = COLUMNS | (MORE if one else {}) | LAST
    output.table(tuple(columns), ([row[key] for key in columns.values()] for row in found))


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    for command in (areas, promote, approval, jobs):
        app.command()(command)
