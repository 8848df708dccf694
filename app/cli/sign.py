"""`canemap sign`: an address that works without a key for some time."""

from typing import Annotated

import typer

from app.cli import output
from app.cli.output import AsJson
from app.client import Client


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(sign)


def sign(
    path: Annotated[str, typer.Argument(metavar="PATH", help="Of a file: /v1/predictions/ID/classes.tif.")],
    expires_s: Annotated[int, typer.Option(min=1, help="Seconds for which the address is valid.")] = 3600,
    as_json: AsJson = False,
) -> None:
    """Print an address of a file, a picture or tiles that works without a key, for QGIS for instance."""
    with Client() as client:
        url = client.signed_url(path, expires_s=expires_s)
    output.show({"url": url}, as_json, [url])
