"""Commands that look, promote and dismiss."""

from typing import Annotated

import typer

from app.cli import output
from app.cli.output import AsJson
from app.cli.work import show_areas
from app.client import Client

Metric = ("accuracy", "iou", "kappa")


def areas(prediction: str, as_json: AsJson = False) -> None:
    """Hectares of a prediction."""
    with Client() as client:
        found = client.prediction(prediction)
        if as_json:
            output.show(found.areas(), as_json)
        else:
            show_areas(found)


def models(name: Annotated[str | None, typer.Argument()] = None, as_json: AsJson = False) -> None:
    """All models, or the versions of one."""
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
        rows.append((version["name"], version["version"], names, split, *(metrics.get(metric) for metric in Metric)))
    output.table(("model", "version", "aliases", "split", *Metric), rows)


def promote(
    name: str,
    version: int,
    alias: Annotated[str, typer.Option()] = "champion",
    reason: Annotated[str, typer.Option(help="Kept in the history of the alias.")] = "",
    as_json: AsJson = False,
) -> None:
    """Point an alias at a version of a model; the same command rolls back."""
    with Client() as client:
        moved = client.promote(name, version, alias=alias, reason=reason)
    output.show(moved, as_json, [f"{name}@{alias} is version {moved['version']}"])


def jobs(
    job: Annotated[str | None, typer.Argument(help="A job; by default the newest.")] = None,
    dismiss: Annotated[bool, typer.Option("--dismiss", help="Stop it.")] = False,
    log: Annotated[bool, typer.Option("--log", help="Print its log.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    as_json: AsJson = False,
) -> None:
    """The newest jobs, or one; stop it or read its log."""
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
    """Register the commands."""
    for command in (areas, models, promote, jobs):
        app.command()(command)
