"""`canemap --version`."""

from importlib import metadata
from typing import Annotated

import typer

from app.cli import output


def number() -> str:
    """The version of canemap; "unknown" if it runs from a folder that was not installed."""
    try:
        return metadata.version("canemap")
    except metadata.PackageNotFoundError:
        return "unknown"


def _show(wanted: bool) -> None:
    if wanted:
        output.show({"version": number()}, output.wants_json(), [f"canemap {number()}"])
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", help="Show the version.", callback=_show, is_eager=True)]
