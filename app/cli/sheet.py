"""`canemap sheet`: a prediction or a survey on a page to print."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli import output
from app.cli.language import current
from app.cli.output import AsJson
from app.client import Client

Out = Annotated[Path, typer.Option("--out", "-o", help="Where the sheet is saved: a .pdf or a .png file.")]
Paper = Annotated[str, typer.Option(help="a4 or a3.")]
Title = Annotated[str | None, typer.Option(help="Of the sheet; by default that of the map.")]
Zones = Annotated[str | None, typer.Option(help="Id of a zone set that is drawn, too, with its hectares.")]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(sheet)


def sheet(
    map_: Annotated[str, typer.Argument(metavar="MAP", help="Id of the prediction or survey.")],
    out: Out = Path("sheet.pdf"),
    paper: Paper = "a4",
    title: Title = None,
    zones: Zones = None,
    as_json: AsJson = False,
) -> None:
    """Save a map sheet to print: the scene, the map, zones, a legend, a scale bar and the hectares."""
    with Client() as client:
        found = (client.survey_of if map_.startswith("srv_") else client.prediction)(map_)
        saved = found.sheet(out, paper=paper, language=current(), title=title, zones=zones)
    output.show({"path": str(saved)}, as_json, [str(saved)])
