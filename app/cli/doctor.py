"""`canemap doctor`: find what is wrong with a deployment, and say how to mend it."""

from dataclasses import asdict
from typing import Annotated

import typer

from app.cli import output
from app.cli.output import AsJson

NOT_WORKING = 1
MARKS = {"ok": "ok", "warning": "!", "fault": "FAULT"}
Only = Annotated[str, typer.Option(help="Names of checks, comma-separated; this-worker runs only if it is named.")]


def doctor(only: Only = "", as_json: AsJson = False) -> None:
    """Check this deployment from this machine, and say what to mend. With exit code 1 something does not work."""
    from app.operations.doctor import CHECKS, examine
    from app.services import Services
    from app.settings import Settings

    checks = tuple(only.split(",")) if only else ()
    if unknown := set(checks) - set(CHECKS):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}; known are {', '.join(CHECKS)}", param_hint="--only")
    try:
        services = Services.open(Settings())
    except (OSError, ValueError) as error:
        output.errors.print(f"The settings cannot be used: {error}", markup=False, highlight=False)
        raise typer.Exit(NOT_WORKING) from error
    found = list(examine(services, checks))
    lines = (f"{MARKS[item.level]:6}{item.part:12}{item.detail}  {item.hint}".rstrip() for item in found)
    output.show([asdict(item) for item in found], as_json, lines)
    if any(item.level == "fault" for item in found):
        raise typer.Exit(NOT_WORKING)


def add_to(app: typer.Typer) -> None:
    """Add the command of this module to `app`."""
    app.command()(doctor)
