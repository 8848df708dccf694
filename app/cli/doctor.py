"""`canemap doctor`: what is wrong with a deployment, and how to mend it."""

from dataclasses import asdict
from typing import Annotated

import typer

from app.cli import output
from app.cli.output import AsJson

SICK = 1
SIGNS = {"ok": "ok", "warning": "!", "fault": "FAULT"}
Only = Annotated[str, typer.Option(help="Comma-separated parts; this-worker is looked at only when it is named.")]


def doctor(only: Only = "", as_json: AsJson = False) -> None:
    """Check this deployment, from this machine, and say what to mend. Exit code 1: something does not work."""
    from app.operations.doctor import CHECKS, examine
    from app.services import Services
    from app.settings import Settings

    parts = tuple(only.split(",")) if only else ()
    if unknown := set(parts) - set(CHECKS):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}; there are {', '.join(CHECKS)}", param_hint="--only")
    try:
        services = Services.open(Settings())
    except (OSError, ValueError) as error:
        output.errors.print(f"The settings cannot be used: {error}", markup=False, highlight=False)
        raise typer.Exit(SICK) from error
    found = list(examine(services, parts))
    lines = (f"{SIGNS[item.level]:6}{item.part:12}{item.detail}  {item.hint}".rstrip() for item in found)
    output.show([asdict(item) for item in found], as_json, lines)
    if any(item.level == "fault" for item in found):
        raise typer.Exit(SICK)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(doctor)
