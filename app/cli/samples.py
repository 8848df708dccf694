"""`canemap sample ...`: points of a map that people label, and hectares estimated from their answers."""

from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from app.cli import options, output
from app.cli.output import AsJson
from app.cli.texts import text
from app.client import Client, Json

FORMATS = (".csv", ".geojson", ".gpkg", ".kml")
sample = typer.Typer(help="Estimate areas from points of a map that people have labelled.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(metavar="SAMPLE", help="Id of the sample.")]
OneLabeller = Annotated[str | None, typer.Option(help="Whose answers count alone.")]


@sample.command()
def draw(
    map_: Annotated[str, typer.Argument(metavar="MAP", help="Id of the prediction or survey.")],
    n: Annotated[int | None, typer.Option("-n", "--points", help="Number of points.")] = None,
    target_cv: Annotated[
        float | None, typer.Option(help="Instead of -n: the largest standard error, as a share of the area.")
    ] = None,
    kind: Annotated[str, typer.Option(help="stratified, random, systematic or cluster.")] = "stratified",
    strata: Annotated[
        str | None, typer.Option(help="Strata of a stratified sample: class, class_x_zone or probability.")
    ] = None,
    zones: Annotated[str | None, typer.Option(help="Zone set: draw points of each class in each of its zones.")] = None,
    allocation: Annotated[str | None, typer.Option(help="proportional, equal, neyman or power.")] = None,
    min_per_stratum: Annotated[
        int | None, typer.Option(help="Least number of points in each class of the map.")
    ] = None,
    cluster_px: Annotated[int | None, typer.Option(help="Side of the blocks of a cluster sample, in pixels.")] = None,
    per_cluster: Annotated[int | None, typer.Option(help="Number of points in each block of a cluster sample.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same points.")] = 0,
    title: options.Title = None,
    no_wait: options.NoWait = False,
    as_json: AsJson = False,
) -> None:
    """Draw points of a map by chance, for people to label."""
    given = {"n": n, "target_cv": target_cv, "allocation": allocation, "min_per_stratum": min_per_stratum}
    given |= {
        "strata": strata or ("class_x_zone" if zones else None),
        "cluster_px": cluster_px,
        "per_cluster": per_cluster,
    }
    design = {"kind": kind, "seed": seed} | {name: value for name, value in given.items() if value is not None}
    with Client() as client:
        drawn = client.draw_sample(map_, design=design, title=title, zones=zones)
        if output.finished(drawn, no_wait, as_json) and not as_json:
            _show_strata(drawn.document)


@sample.command()
def show(id_: Id, as_json: AsJson = False) -> None:
    """Show the strata of a sample, and how far it is labelled."""
    with Client() as client:
        found = client.sample(id_)
        if as_json:
            output.show(found.document, as_json)
            return
        if found.document["n"] is not None:
            _show_strata(found.document)
            _show_report(found.answers())
            return
    output.show(None, False, [text("no_points", id=id_, status=found.status)])


@sample.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="List at most this number.")] = 50, as_json: AsJson = False
) -> None:
    """List the samples, newest first."""
    with Client() as client:
        found = list(islice(client.samples(), limit))
    if as_json:
        output.show(found, as_json)
        return
    columns = ("sample", "created", "status", "map", "kind", "n", "title")
    rows = (
        (row["id"], row["created"], row["job"]["status"], row["map"], row["design"]["kind"], row["n"], row["title"])
        for row in found
    )
    output.table(columns, rows)


@sample.command()
def export(
    id_: Id,
    file: Annotated[Path, typer.Argument(help="File to write: .csv, .geojson, .gpkg or .kml.")],
    map_class: Annotated[
        bool, typer.Option("--map-class", help="Tell also what the map says, which labellers should not see.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Download the points as a file, whose columns class and unusable are to be filled in."""
    if file.suffix.lower() not in FORMATS:
        raise typer.BadParameter(text("no_format", file=file, known=", ".join(FORMATS)), param_hint="FILE")
    with Client() as client:
        written = client.sample(id_).export(file, map_class=map_class)
    output.show({"file": str(written)}, as_json, [text("saved_points", file=written)])


@sample.command()
def chips(
    id_: Id,
    folder: Annotated[Path, typer.Argument(help="Folder to download the pictures into.")],
    first: Annotated[int | None, typer.Option(min=1, help="Only of this number of points, from the first on.")] = None,
    as_json: AsJson = False,
) -> None:
    """Download a picture of each point: its pixel in the scene around it, near and wide."""
    with Client() as client:
        found = client.sample(id_)
        number = found.document["n"] or 0
        written = found.chips(folder, range(1, min(number, first or number) + 1))
    output.show([str(path) for path in written], as_json, [text("saved", count=len(written), folder=folder)])


@sample.command()
def answer(
    id_: Id,
    file: Annotated[Path, typer.Argument(help="The filled file: CSV or GeoJSON.", exists=True, dir_okay=False)],
    labeller: Annotated[
        str, typer.Option(help="Whose answers these are; agreed settles those of the others.")
    ] = "main",
    as_json: AsJson = False,
) -> None:
    """Send the filled file of points. Points without an answer in it keep theirs."""
    with Client() as client:
        report = client.sample(id_).answer(file, labeller=labeller)
    if as_json:
        output.show(report, as_json)
        return
    output.say(text("answers_changed", count=report["changed"]))
    _show_report(report)


@sample.command()
def estimate(
    id_: Id,
    labeller: OneLabeller = None,
    zones: Annotated[str | None, typer.Option(help="Zone set: estimate by its zones, too.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print the hectares of each class with their 95 % interval, and the accuracies of the map."""
    with Client() as client:
        found = client.sample(id_).estimates(labeller=labeller, zones=zones)
    if as_json:
        output.show(found, as_json)
        return
    _show_areas(found["items"])
    _show_accuracies(found["accuracies"])
    if (overall := _percent(found["overall"]["value"])) is not None:
        output.say(text("overall", share=f"{overall:.2f}"))
    output.notes(found["notes"])


@sample.command()
def change(
    id_: Id,
    earlier: Annotated[str, typer.Argument(metavar="EARLIER", help="Id of the sample of the earlier season.")],
    labeller: OneLabeller = None,
    earlier_labeller: Annotated[str | None, typer.Option(help="Whose answers count in the earlier season.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print by how many hectares each class has changed since an earlier sample of the same ground."""
    with Client() as client:
        found = client.sample(id_).change(earlier, labeller=labeller, earlier_labeller=earlier_labeller)
    if as_json:
        output.show(found, as_json)
        return
    columns = ("class", "earlier_ha", "later_ha", "change_ha", "se_ha")
    rows = ([*(row[column] for column in columns), *(row["ci95_ha"] or (None, None)), row["method"]] for row in found)
    output.table((*columns, "ci95_low_ha", "ci95_high_ha", "method"), rows)
    for why in {row["why"] for row in found if row["why"]}:
        output.warn(text("no_estimate", why=why))


def _show_areas(items: list[Json]) -> None:
    numbers = ("mapped_ha", "estimated_ha", "se_ha", "ci95_low_ha", "ci95_high_ha", "cv_percent", "n", "method")
    if any(item["zone"] for item in items):
        output.table(("zone", "name", "class", *numbers), [(item["zone"], item["name"], *_row(item)) for item in items])
    else:
        output.table(("class", *numbers), map(_row, items))
    for why in {row["why"] for row in items if row["why"]}:
        output.warn(text("no_estimate", why=why))


def _show_accuracies(found: list[Json]) -> None:
    columns = ("class", "users_accuracy", "producers_accuracy")
    rows = ((row["class"], *(_percent(row[name]["value"]) for name in ("users", "producers"))) for row in found)
    output.table(columns, rows)


def _row(item: Json) -> tuple[object, ...]:
    low, high = item["ci95_ha"] or (None, None)
    areas = (item["mapped_ha"], item["estimated_ha"], item["se_ha"], low, high)
    return item["class"], *areas, _percent(item["cv"]), item["n"], item["method"]


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _show_strata(document: Json) -> None:
    columns = ("stratum", "pixels", "area_ha", "n")
    output.table(columns, ([row["name"], row["pixels"], row["area_ha"], row["n"]] for row in document["strata"]))
    output.notes(document["notes"])


def _show_report(report: Json) -> None:
    columns = ("points", "answered", "unusable", "left", "disputed")
    output.table(columns, [[*(report[name] for name in columns[:-1]), len(report["disputed"])]])
    if report["agreement"]:
        _show_agreement(report["agreement"])


def _show_agreement(found: list[Json]) -> None:
    columns = ("labeller", "other_labeller", "points", "agreed_percent", "kappa")
    rows = ((pair["one"], pair["other"], pair["points"], _percent(pair["agreed"]), pair["kappa"]) for pair in found)
    output.table(columns, rows)


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    app.add_typer(sample, name="sample")
