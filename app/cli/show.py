"""Commands that show areas, models and jobs, promote versions and dismiss jobs."""

from typing import Annotated

import typer

from app.cli import output
from app.cli.output import AsJson
from app.cli.work import show_areas
from app.client import Client

METRICS = ("accuracy", "iou", "kappa")


def areas(prediction: str, as_json: AsJson = False) -> None:
    """Show the hectares of a prediction."""
    with Client() as client:
        found = client.prediction(prediction)
        if as_json:
            output.show(found.areas(), as_json)
        else:
            show_areas(found)


def models(name: Annotated[str | None, typer.Argument()] = None, as_json: AsJson = False) -> None:
    """List all models, or the versions of one model."""
    with Client() as client:
        found = [client.model(name)] if name else list(client.models())
    if as_json:
        output.show(found[0] if name else found, as_json)
        return
    rows = []
    for version in (version for model in found for version in model["versions"]):
        metrics = version["metrics"]["test"] or version["metrics"]["val"] or {}
        split = "test" if version["metrics"]["test"] else "val"
        names = ",".join(version["aliases"])
        rows.append((version["name"], version["version"], names, split, *(metrics.get(metric) for metric in METRICS)))
    output.table(("model", "version", "aliases", "split", *METRICS), rows)


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


def jobs(
    job: Annotated[str | None, typer.Argument(help="Id of a job; by default the newest jobs are listed.")] = None,
    dismiss: Annotated[bool, typer.Option("--dismiss", help="Dismiss the job.")] = False,
    log: Annotated[bool, typer.Option("--log", help="Print the log of the job.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    as_json: AsJson = False,
) -> None:
    """List the newest jobs, or show one job, dismiss it, or print its log."""
    if job is None and (dismiss or log):
        raise typer.BadParameter("name the job", param_hint="JOB")
    with Client() as client:
        if job and log:
            text = client.log(job)
            output.show(text, as_json, text.splitlines())
            return
        found = (
            [client.dismiss(job) if dismiss else client.job(job)]
            if job
            else client.get("/v1/jobs", limit=limit)["items"]
        )
    if as_json:
        output.show(found[0] if job else found, as_json)
        return
    columns = ("jobID", "processID", "status", "progress", "attempt", "message")
    output.table(columns, ([row[column] for column in columns] for row in found))


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    for command in (areas, models, promote, jobs):
        app.command()(command)
