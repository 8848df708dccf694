"""`canemap survey ...`: many scenes as one map, its hectares, and their change."""

from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from app.cli import options, output, ways_back
from app.cli.lists import Limit
from app.cli.output import AsJson
from app.cli.texts import text
from app.client import Client, Json, Survey

survey = typer.Typer(help="Map many scenes as one, with each piece of ground counted once.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(metavar="SURVEY", help="Id of the survey.")]
Zones = Annotated[str | None, typer.Option(help="Zone set by whose zones hectares are told.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print a table for spreadsheets.")]


@survey.command()
def create(
    model: Annotated[str, typer.Option(help="Model version: cane@champion, cane:3, or cane for its champion.")],
    scenes: Annotated[list[str] | None, typer.Argument(metavar="[SCENE...]", help="Ids of the scenes.")] = None,
    bbox: Annotated[
        str | None, typer.Option(help="Instead of scenes: west,south,east,north in degrees, which they touch.")
    ] = None,
    acquired: Annotated[
        str | None, typer.Option(help="Instead of scenes: when they were acquired, like 2024-10-01/2025-02-28.")
    ] = None,
    overlap: Annotated[
        str, typer.Option(help="Which scene a pixel comes from: newest, best, or priority, the order of the list.")
    ] = "newest",
    zones: Zones = None,
    crs: Annotated[str | None, typer.Option(help="CRS of the mosaic; by default that of most scenes.")] = None,
    resolution_m: Annotated[float | None, typer.Option(help="Side of a pixel of the mosaic, in metres.")] = None,
    title: options.Title = None,
    no_wait: options.NoWait = False,
    as_json: AsJson = False,
) -> None:
    """Map scenes with a model, and put the maps together. Scenes that are mapped already are not mapped again."""
    asked = {"zones": zones, "crs": crs, "resolution_m": resolution_m, "title": title}
    with Client() as client:
        made = client.survey(scenes or None, model=model, query=_query(bbox, acquired), overlap=overlap, **asked)
        if output.finished(made, no_wait, as_json) and not as_json:
            _show(made)


def _query(bbox: str | None, acquired: str | None) -> Json | None:
    if bbox is None and acquired is None:
        return None
    try:
        box = [float(number) for number in bbox.split(",")] if bbox else None
    except ValueError:
        raise typer.BadParameter(text("no_numbers", given=bbox, example="107,22,109,24"), param_hint="--bbox") from None
    return {name: value for name, value in (("bbox", box), ("datetime", acquired)) if value is not None}


@survey.command()
def show(id_: Id, as_json: AsJson = False) -> None:
    """Show the mosaic of a survey, and its scenes: how much of it comes from each."""
    with Client() as client:
        found = client.survey_of(id_)
        if as_json:
            output.show(found.document | {"index": found.scenes()}, as_json)
            return
        _show(found)


@survey.command("list")
def list_(limit: Limit = 50, as_json: AsJson = False) -> None:
    """List the surveys, newest first."""
    with Client() as client:
        found = list(islice(client.surveys(), limit + 1))
    if as_json:
        output.show(found[:limit], as_json)
        return
    columns = ("survey", "created", "status", "scenes", "model", "overlap", "title")
    rows = (
        (
            *(row["id"], row["created"], row["job"]["status"], row["scenes"]),
            *("{name}:{version}".format(**row["model"]), row["overlap"], row["title"]),
        )
        for row in found[:limit]
    )
    output.table(columns, rows)
    if len(found) > limit:
        output.say(text("more", limit=limit))


@survey.command()
def areas(id_: Id, zones: Zones = None, as_csv: AsCsv = False, as_json: AsJson = False) -> None:
    """Show the hectares of a survey, in the whole mosaic or by zone."""
    with Client() as client:
        found = client.survey_of(id_)
        if as_csv:
            output.print_csv([found.areas_csv(zones)])
            return
        rows = found.areas(zones)
    if as_json:
        output.show(rows, as_json)
        return
    columns = ("zone", "name", "class", "observed_ha", "unobserved_ha", "mapped_ha", "mapped_mu")
    _show_rows(columns, rows)


@survey.command()
def compare(
    id_: Id,
    earlier: Annotated[str, typer.Argument(metavar="EARLIER", help="Id of the earlier survey.")],
    zones: Zones = None,
    sample: Annotated[
        str | None, typer.Option(help="Sample from which intervals come; by default the newest with answers.")
    ] = None,
    earlier_sample: Annotated[str | None, typer.Option(help="The same of the earlier survey.")] = None,
    labeller: Annotated[str | None, typer.Option(help="Whose answers count alone.")] = None,
    earlier_labeller: Annotated[str | None, typer.Option(help="Whose answers count in the earlier season.")] = None,
    as_csv: AsCsv = False,
    as_json: AsJson = False,
) -> None:
    """Show what each class has gained and lost since an earlier survey, in hectares that both have observed."""
    samples = {"sample": sample, "earlier_sample": earlier_sample}
    samples |= {"labeller": labeller, "earlier_labeller": earlier_labeller}
    with Client() as client:
        found = client.survey_of(id_)
        if as_csv:
            output.print_csv([found.compare_csv(earlier, zones, **samples)])
            return
        rows = found.compare(earlier, zones, **samples)
    if as_json:
        output.show(rows, as_json)
        return
    of_class, of_ground = ("gain_ha", "loss_ha", "net_ha"), ("observed_ha", "only_earlier_ha", "only_later_ha")
    estimated = ("net_estimated_ha", "net_ci95_low_ha", "net_ci95_high_ha")
    for row in rows:
        row["net_ci95_low_ha"], row["net_ci95_high_ha"] = row["net_ci95_ha"] or (None, None)
    _show_rows(("zone", "name", "class", *of_class, *of_ground, *estimated), rows)


@survey.command()
def download(
    id_: Id,
    folder: Annotated[Path, typer.Argument(help="Folder to download the files into.")],
    as_json: AsJson = False,
) -> None:
    """Download the mosaic, its style, and the raster that tells which scene each pixel comes from."""
    with Client() as client:
        written = client.survey_of(id_).download(folder)
    output.show([str(path) for path in written], as_json, [text("saved", count=len(written), folder=folder)])


@survey.command()
def delete(
    id_: Id,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete a survey and its mosaic. The predictions of its scenes stay."""
    ways_back.delete("survey", id_, yes=yes, as_json=as_json)


def _show(found: Survey) -> None:
    if found.document["mosaic"]:
        output.show(None, False, [text("mosaic", id=found.id, **found.document["mosaic"])])
    else:
        output.show(None, False, [text("no_mosaic", id=found.id, status=found.status)])
    columns = ("number", "scene", "status", "acquired", "prediction", "pixels", "area_ha")
    output.table(columns, ([row[name] for name in columns] for row in found.scenes()))


def _show_rows(columns: tuple[str, ...], rows: list[Json]) -> None:
    shown = columns if any(row["zone"] for row in rows) else columns[2:]
    output.table(shown, ([row[name] for name in shown] for row in rows))
    for why in dict.fromkeys(row["why"] for row in rows if row["why"]):
        output.say(why)


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    app.add_typer(survey, name="survey")
