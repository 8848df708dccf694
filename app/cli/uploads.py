"""Commands that upload files, several at a time."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from app.cli import failures, options, output
from app.cli.lists import bands_of
from app.cli.output import AsJson
from app.cli.texts import text
from app.client import CanemapError, Client, Json

AT_ONCE = 4  # uploads; the service reads as many files at once as it has cores, and the others wait
Files = Annotated[list[Path], typer.Argument(exists=True, dir_okay=False)]
Name = Annotated[str | None, typer.Option(help="Name for the upload, in ASCII; by default made from that of the file.")]
Send = Callable[[Path], Json]


def upload(
    files: Files,
    name: Name = None,
    acquired: Annotated[str | None, typer.Option(help="Date or time of acquisition.")] = None,
    sensor: Annotated[str | None, typer.Option(help="Sensor of the scene.")] = None,
    bands: Annotated[str | None, typer.Option(help="Names of the bands in order: b,g,r,nir.")] = None,
    nodata: Annotated[float | None, typer.Option(help="Value of pixels without data, if none is declared.")] = None,
    title: options.Title = None,
    as_json: AsJson = False,
) -> None:
    """Upload GeoTIFFs as scenes."""
    check_name(name, files)
    named = options.names(bands or "")
    with Client() as client:
        send = lambda file: client.upload_scene(  # noqa: E731
            file, name, acquired=acquired, sensor=sensor, bands=named, nodata=nodata, title=title
        )
        send_files(files, send, _show_scene, title, as_json)


def label(
    files: Files,
    name: Name = None,
    class_field: Annotated[str | None, typer.Option(help="Attribute that holds the class of a polygon.")] = None,
    classes: Annotated[str | None, typer.Option(help="Class by value of that attribute: sugarcane=1,*=0.")] = None,
    crs: Annotated[str | None, typer.Option(help="CRS of the layer, if the file has none.")] = None,
    background: Annotated[
        int | None, typer.Option(help="Value outside all polygons: 255 (unlabelled), or 0 if all else is class 0.")
    ] = None,
    field_id: Annotated[str | None, typer.Option(help="Attribute that polygons of one field share.")] = None,
    layer: Annotated[str | None, typer.Option(help="Layer to read, of a file that holds several.")] = None,
    title: options.Title = None,
    as_json: AsJson = False,
) -> None:
    """Upload labels: GeoJSON, GeoPackage, a zipped Shapefile or a raster."""
    check_name(name, files)
    by_name = options.classes(classes)
    with Client() as client:
        send = lambda file: client.upload_labels(  # noqa: E731
            file,
            name,
            class_field=class_field,
            classes=by_name,
            crs=crs,
            background=background,
            field_id=field_id,
            layer=layer,
            title=title,
        )
        send_files(files, send, _show_labels, title, as_json)


def check_name(name: str | None, files: Sequence[Path]) -> None:
    """Refuse one name for several files."""
    if name and len(files) > 1:
        raise typer.BadParameter(text("one_name"), param_hint="--name")


def send_files(
    files: Sequence[Path], send: Send, show: Callable[[Json], None], title: str | None, as_json: bool
) -> None:
    """Upload files, several at once. What is refused is said at the end, after all others were uploaded.

    With `as_json` the document of one file is printed, or the list of the documents of several.
    """
    refused: dict[Path, CanemapError] = {}
    done: dict[Path, Json] = {}
    for file, result in _sent(files, send):
        if isinstance(result, CanemapError):
            refused[file] = result
            continue
        done[file] = result
        _say_kept_title(title, result)
        if not as_json:
            show(result)
    documents = [done[file] for file in files if file in done]
    if as_json and documents:
        output.show(documents[0] if len(files) == 1 else documents, as_json)
    if refused:
        raise failures.several([refused[file] for file in files if file in refused])


def _sent(files: Sequence[Path], send: Send) -> Iterator[tuple[Path, Json | CanemapError]]:
    """The answers, or the refusals, in the order in which they come, with a bar on a terminal."""
    shown = len(files) > 1 and output.errors.is_terminal and not output.wants_json()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with (
        Progress(*columns, console=output.errors, transient=True, disable=not shown) as bars,
        ThreadPoolExecutor(min(AT_ONCE, len(files))) as threads,
    ):
        bar = bars.add_task(text("uploading"), total=len(files))
        asked = {threads.submit(_answer, send, file): file for file in files}
        try:
            for answer in as_completed(asked):
                bars.advance(bar)
                yield asked[answer], answer.result()
        except KeyboardInterrupt:  # the threads would finish the uploads that they have begun: that may take hours
            output.say(text("interrupted"))
            os._exit(failures.INTERRUPTED)
        finally:  # when the service cannot be reached, start no further upload
            threads.shutdown(wait=False, cancel_futures=True)


def _answer(send: Send, file: Path) -> Json | CanemapError:
    try:
        return send(file)
    except CanemapError as error:
        return error


def _say_kept_title(wanted: str | None, item: Json) -> None:
    """Say that what was uploaded before has kept its title."""
    kind, found = ("scene", item["properties"].get("title")) if "properties" in item else (_kind(item), item["title"])
    if wanted is not None and wanted.strip() != found:
        output.warn(text("kept_title", kind=kind, id=item["id"], found=found, wanted=wanted))


def _kind(item: Json) -> str:
    return "zones" if "zones" in item["report"] else "labels"


def named(id_: str, title: str | None) -> str:
    """An id with the title that it has."""
    return f"{id_} ({title})" if title else id_


def _show_scene(item: Json) -> None:
    known = item["properties"]
    rows, cols = known["proj:shape"]
    bands = ",".join(band["name"] for band in bands_of(item))
    called = named(item["id"], known.get("title"))
    output.show(None, False, [text("scene", id=called, rows=rows, cols=cols, bands=bands, gsd=known["gsd"])])
    output.notes(known.get("warnings") or ())


def _show_labels(item: Json) -> None:
    report = item["report"]
    features = report["features"] if report["features"] is not None else "-"
    called = named(item["id"], item["title"])
    output.show(None, False, [text("labels", id=called, kind=report["kind"], features=features, crs=report["crs"])])
    columns = ("value", "name", "features", "pixels", "area_ha")
    output.table(columns, ([row[column] for column in columns] for row in report["by_class"]))
    output.notes([*report["repairs"], *report["warnings"]])


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    for command in (upload, label):
        app.command()(command)
