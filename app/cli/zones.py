"""`canemap zones ...`: administrative polygons by which hectares are told."""

from itertools import islice
from typing import Annotated

import typer

from app.cli import options, output, ways_back
from app.cli.lists import Limit
from app.cli.output import AsJson
from app.cli.texts import text
from app.cli.uploads import Files, Name, check_name, named, send_files
from app.client import Client, Json

zones = typer.Typer(help="Keep administrative polygons, by which hectares are told.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(metavar="ZONES", help="Id of the zone set.")]


@zones.command()
def upload(
    files: Files,
    name: Name = None,
    code_field: Annotated[str | None, typer.Option(help="Attribute that holds the code of a zone.")] = None,
    name_field: Annotated[str | None, typer.Option(help="Attribute that holds the name of a zone.")] = None,
    parent_field: Annotated[
        str | None, typer.Option(help="Attribute that holds the code of the zone that a zone is a part of.")
    ] = None,
    crs: Annotated[str | None, typer.Option(help="CRS of the layer, if the file has none.")] = None,
    layer: Annotated[str | None, typer.Option(help="Layer to read, of a file that holds several.")] = None,
    title: options.Title = None,
    as_json: AsJson = False,
) -> None:
    """Upload zones: GeoJSON, GeoPackage or a zipped Shapefile."""
    check_name(name, files)
    fields = {"code_field": code_field, "name_field": name_field, "parent_field": parent_field}
    with Client() as client:
        send = lambda file: client.upload_zones(  # noqa: E731
            file, name, **fields, crs=crs, layer=layer, title=title
        )
        send_files(files, send, _show, title, as_json)


@zones.command("list")
def list_(limit: Limit = 50, as_json: AsJson = False) -> None:
    """List the zone sets, newest first: their number of zones, and their hectares."""
    with Client() as client:
        found = list(islice(client.zones(), limit + 1))
    if as_json:
        output.show(found[:limit], as_json)
        return
    columns = ("zones", "created", "features", "area_ha", "overlap_ha", "title")
    reports = ((item, item["report"]) for item in found[:limit])
    output.table(
        columns,
        (
            [item["id"], item["created"], report["zones"], report["area_ha"], report["overlap_ha"], item["title"]]
            for item, report in reports
        ),
    )
    if len(found) > limit:
        output.say(text("more", limit=limit))


@zones.command()
def show(id_: Id, as_json: AsJson = False) -> None:
    """Show each zone with its hectares, and what is odd about the layer."""
    with Client() as client:
        document = client.zone_set(id_)
        if as_json:
            output.show(document, as_json)
            return
        _show(document)
        rows = [feature["properties"] for feature in client.zone_features(id_)["features"]]
    columns = ("code", "name", "parent", "area_ha", "overlap_ha")
    output.table(columns, ([row[column] for column in columns] for row in rows))


@zones.command()
def delete(
    id_: Id,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete a zone set, and the areas that were measured in it."""
    ways_back.delete("zones", id_, yes=yes, as_json=as_json)


def _show(document: Json) -> None:
    report = document["report"]
    shown = {name: report[name] for name in ("kind", "zones", "crs", "area_ha")}
    output.show(None, False, [text("zones", id=named(document["id"], document["title"]), **shown)])
    output.notes([*report["repairs"], *report["warnings"]])


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    app.add_typer(zones, name="zones")
