"""`canemap doctor`: find what is wrong with a deployment, and say how to fix it."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli import output
from app.cli.failures import Refused
from app.cli.folders import check_folder
from app.cli.language import told
from app.cli.output import AsJson
from app.cli.texts import text

if TYPE_CHECKING:
    from app.operations.doctor import Finding
    from app.settings import Settings

NOT_WORKING = 1
MARKS = {"ok": "ok", "warning": "!", "fault": "FAULT"}
Only = Annotated[str, typer.Option(help="Names of checks, comma-separated; this-worker runs only if it is named.")]


def doctor(only: Only = "", as_json: AsJson = False) -> None:
    """Check this deployment from this machine, and say what to fix. With exit code 1 something does not work."""
    from app.operations.doctor import CHECKS, OF_THE_MACHINE, examine
    from app.settings import Settings

    checks = tuple(only.split(",")) if only else ()
    if unknown := set(checks) - set(CHECKS):
        detail = text("no_check", unknown=", ".join(sorted(unknown)), known=", ".join(CHECKS))
        raise typer.BadParameter(detail, param_hint="--only")
    if checks and set(checks) <= OF_THE_MACHINE.keys():
        _tell(list(examine(None, checks)), as_json)
    else:
        _tell(_examine(Settings(), checks), as_json)


def _examine(settings: "Settings", checks: tuple[str, ...]) -> "list[Finding]":
    """The findings about the service, and about its data folder, which is not made if it is not there."""
    from app.operations.doctor import Finding, examine
    from app.services import Services

    folder = settings.data_dir.absolute()
    try:
        check_folder(settings)
        if not folder.is_dir() and not checks:  # single checks of a database elsewhere need no folder
            raise Refused("no-data-folder", text("no_folder", folder=folder))
    except Refused as refused:
        return [Finding("folder", "fault", str(refused)), *examine(None, checks)]
    services = Services.open(settings)
    try:
        place = [] if checks else [Finding("folder", "ok", str(folder))]
        return [*place, *examine(services, checks)]
    finally:
        services.close()


def _tell(found: "list[Finding]", as_json: bool) -> None:
    width = max((len(item.part) for item in found), default=0)
    said = ((item, told(item.detail), told(item.hint)) for item in found)
    lines = (f"{MARKS[item.level]:6}{item.part:{width}}  {detail}  {hint}".rstrip() for item, detail, hint in said)
    output.show([asdict(item) for item in found], as_json, lines)
    if any(item.level == "fault" for item in found):
        raise typer.Exit(NOT_WORKING)


def add_to(app: typer.Typer) -> None:
    """Add the command of this module to `app`."""
    app.command()(doctor)
