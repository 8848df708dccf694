"""`canemap preview`: a picture of a scene."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli import options, output
from app.cli.output import AsJson
from app.client import Client

Out = Annotated[Path, typer.Option("--out", "-o", help="Where the picture is saved, a .png file.")]
MaxSize = Annotated[int, typer.Option(min=16, max=2048, help="Its longest side, in pixels.")]
Bands = Annotated[str, typer.Option(help="One band, or three for red, green and blue: nir,red,green or 4,3,2.")]
Stretch = Annotated[str | None, typer.Option(help="Values that are drawn dark and bright: 0,3000 or p2,p98.")]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(preview)


def preview(
    scene: Annotated[str, typer.Argument(help="Id of a scene.")],
    out: Out = Path("preview.png"),
    max_size: MaxSize = 1024,
    bands: Bands = "",
    stretch: Stretch = None,
    as_json: AsJson = False,
) -> None:
    """Save a picture of a scene."""
    named = options.names(bands)
    with Client() as client:
        saved = client.scene_preview(scene, out, max_size=max_size, bands=named, stretch=stretch)
    output.show({"path": str(saved)}, as_json, [str(saved)])
